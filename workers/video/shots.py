"""Whether two pictures are of one shot, or a cut lies between them."""

from __future__ import annotations

import numpy as np

from workers.video.motion import Pictures, block_match, cosine

#: Weights and bias of a logistic regression on development clips: correlation, tones changed, what
#: matching leaves. The line leans to cuts, which are far more frequent than missing frames:
#: `scripts/measure_shots.py`.
WEIGHTS, BIAS = np.array([1.842, -2.336, -4.660]), 12.981
#: Share of the pixels that change tone up to which two pictures are of one shot, however far the
#: camera moved; 0.17 and more across the cuts of development clips.
SAME_TONES = 0.12
#: Range of grey levels, from the first to the last hundredth of the pixels, that darker pictures
#: are stretched to before they are compared, and by how much at most: while a picture fades, what
#: two shots differ in fades, too.
_RANGE, _MOST = 150.0, 8.0


def same_shot(first: Pictures, second: Pictures) -> bool:
    """Tell whether two grey pictures of one shape are of one shot."""
    first, second = _stretched(first, second)
    tones = tone_change(first, second)
    if tones <= SAME_TONES:
        return True
    left, _ = block_match(first, second)
    alike = cosine(first - first.mean(), second - second.mean())
    evidence = (alike, tones, float(np.log1p(left).mean()))
    return float(np.dot(WEIGHTS, evidence)) + BIAS > 0


def tone_change(first: Pictures, second: Pictures) -> float:
    """Return the share of pixels that would need another tone (of 16) to make one the other."""
    counts = [np.bincount(picture.ravel() >> 4, minlength=16) for picture in (first, second)]
    return float(np.abs(counts[0] - counts[1]).sum()) / (2.0 * first.size)


def _stretched(first: Pictures, second: Pictures) -> Pictures:
    """Return both pictures with more contrast, by the same curve, where they have little."""
    both = np.stack([first, second])
    low, high = np.percentile(both, (1, 99))
    gain = min(_MOST, _RANGE / max(high - low, 1.0))
    if gain <= 1:
        return both
    return np.asarray(np.clip((both - low) * gain, 0, 255), dtype=np.uint8)
