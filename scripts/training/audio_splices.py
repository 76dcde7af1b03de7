"""Recordings put together from clips: what pooling makes of them, and how splices are located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from audio_fit import CLIP, Head, fold_of
from audio_pool import LEAST_SPEECH_S, RATE, Clips
from audio_quantize import Encoder8
from audio_robust import CONDITIONS, Folds
from audio_statistics import Statistics
from audio_trees import log_odds
from numpy.typing import NDArray

from shared.records import Finding
from workers import evaluation
from workers.audio.closer import look_closer
from workers.audio.pooling import Calibration, Scored, findings, pool
from workers.audio.scoring import Scoring, run
from workers.audio.speech import FRAME
from workers.audio.windows import WindowCutter

#: Recordings of each kind, clips in each, but for the one that is spliced in, and the fewest of one
#: voice.
RECORDINGS, CLIPS, LEAST_CLIPS = 120, 5, 3
#: Kinds of whole recordings that `pooling` looks at: clips of one source, whoever speaks.
KINDS = ("genuine", "synthetic", "spliced")
#: Genuine recordings: of several voices, of one, of two in turn as in an interview, and of one with
#: one clip through the codecs, the noise and the room of the robustness table.
GENUINE = ("genuine", "one voice", "two voices", "one voice, edited")
#: Genuine recordings with one synthetic clip of the same source, of several voices and of one.
SPLICED = ("spliced", "one voice, spliced")


@dataclass(frozen=True)
class Recording:
    """Clips of one source in a row, scored by a fold that never saw it.

    Attributes:
        kind: Of `KINDS`, `GENUINE` or `SPLICED`.
        scored: Its windows.
        findings: What is located in it.
        length_s: Its length.
        start_s: Where the synthetic clip of a spliced one begins.
        end_s: And where it ends.
    """

    kind: str
    scored: list[Scored]
    findings: tuple[Finding, ...]
    length_s: float
    start_s: float = 0.0
    end_s: float = 0.0

    def holds(self, found: Finding) -> bool:
        """Whether a finding lies where the synthetic clip is."""
        return min(found.end_s, self.end_s) > max(found.start_s, self.start_s)


@dataclass(frozen=True)
class _Fold:
    """Scores windows as the product's network does, by a fold that never saw their source."""

    front_end: Encoder8
    head: Head
    trees: Any
    tree_weight: float
    threads: int = 2

    def get_providers(self) -> list[str]:
        """Tell that this runs on no GPU."""
        return ["CPUExecutionProvider"]

    def run(self, _outputs: list[str], feeds: dict[str, Any]) -> tuple[Any, Any]:
        """Return scores of both halves of each window, and distances that nobody needs."""
        cut = torch.tensor(feeds["samples"])
        with torch.no_grad():
            halves = (self.front_end.halves(cut).numpy() - self.head.mean) / self.head.deviation
            odds = log_odds(self.trees, Statistics()(cut).numpy())
        apart = halves @ self.head.weights
        whole = np.clip(halves.mean(1), -CLIP, CLIP) @ self.head.weights + self.head.bias
        both = (whole + self.tree_weight * odds - apart.mean(1))[:, None]
        return apart + both, np.ones_like(apart)


@dataclass(frozen=True)
class _Material:
    """Which clips there are: usable ones, by source and by voice."""

    clips: Clips
    owners: NDArray[np.str_]
    voices: NDArray[np.str_]
    fake: NDArray[np.bool_]
    usable: NDArray[np.bool_]

    @classmethod
    def of_clips(cls, clips: Clips) -> _Material:
        """Look at the rows of the manifest."""
        return cls(
            clips,
            np.array([row["source"].replace("self:", "") for row in clips.rows]),
            np.array([row["group"] for row in clips.rows]),
            np.array([row["label"] == "spoof" for row in clips.rows]),
            clips.speech_s >= LEAST_SPEECH_S,
        )

    def of(self, source: str, *, truth: bool) -> NDArray[np.int64]:
        """Return the clips of a source."""
        return np.flatnonzero(self.usable & (self.fake == truth) & (self.owners == source))

    def by_voice(self, source: str) -> list[NDArray[np.int64]]:
        """Return the genuine clips of each voice of a source that has enough of them."""
        genuine = self.of(source, truth=False)
        each = [genuine[self.voices[genuine] == one] for one in np.unique(self.voices[genuine])]
        return [clips for clips in each if clips.size >= LEAST_CLIPS]

    def draw(self, kind: str, source: str, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Draw the clips of a recording but for the spliced one; None where there are too few."""
        if kind in SPLICED and not self.of(source, truth=True).size:
            return None
        if kind in KINDS:
            found = self.of(source, truth=kind == "synthetic")
            return rng.permutation(found)[:CLIPS] if found.size >= CLIPS else None
        voices = self.by_voice(source)
        if len(voices) < (2 if kind == "two voices" else 1):
            return None
        chosen = [rng.permutation(voices[at]) for at in rng.permutation(len(voices))[:2]]
        if kind == "two voices":
            return np.stack([clips[:LEAST_CLIPS] for clips in chosen], axis=1).ravel()[:CLIPS]
        return chosen[0][:CLIPS]


def put_together(
    clips: Clips,
    front_end: Encoder8,
    folds: Folds,
    params: dict[str, float],
    count: int = RECORDINGS,
) -> list[Recording]:
    """Make and score `count` recordings of each kind, of one source each, in turn."""
    material, calibration = _Material.of_clips(clips), Calibration.from_params(dict(params))
    changes = list(CONDITIONS.values())[1:]
    found = []
    for turn, kind in enumerate(dict.fromkeys((*KINDS, *GENUINE, *SPLICED))):
        rng = np.random.default_rng([3, turn])
        every = sorted(set(material.owners))
        sources = [source for source in every if material.draw(kind, source, rng) is not None]
        for number in range(count if sources else 0):
            source = sources[number % len(sources)]
            chosen = material.draw(kind, source, rng)
            assert chosen is not None
            pieces = [clips.clip(0, clip) for clip in chosen]
            span = (0.0, 0.0)
            if kind in SPLICED:
                place = int(rng.integers(1, len(pieces)))
                start = sum(piece.size for piece in pieces[:place])
                other = int(rng.choice(material.of(source, truth=True)))
                pieces.insert(place, clips.clip(0, other))
                span = (start / RATE, (start + pieces[place].size) / RATE)
            if kind == "one voice, edited":
                place = int(rng.integers(len(pieces)))
                pieces[place] = _changed(pieces[place], changes[number % len(changes)])
            samples = np.concatenate(pieces)
            fold = fold_of(source)
            network = _Fold(front_end, folds.heads[fold], folds.trees[fold], folds.tree_weight)
            scored, located = _locate(samples, network, calibration)
            if scored:
                found.append(Recording(kind, scored, located, samples.size / RATE, *span))
        print(f"{kind}: {count} recordings of {len(sources)} sources scored", flush=True)
    return found


def splices(recordings: list[Recording], params: dict[str, float]) -> dict[str, Any]:
    """Return how often spliced sentences are located, and what is located where none is."""
    calibration = Calibration.from_params(dict(params))
    of_kind = {
        kind: [item for item in recordings if item.kind == kind]
        for kind in (*SPLICED, *GENUINE, "synthetic")
    }
    if not all(of_kind.values()):
        return {"recordings_each": 0}
    located = {}
    for kind in SPLICED:
        hits = [[item.holds(found) for found in item.findings] for item in of_kind[kind]]
        located[kind] = {
            "located": round(float(np.mean([any(item) for item in hits])), 3),
            "wrong_findings_elsewhere": sum(item.count(False) for item in hits),
        }
    wrong = {}
    for kind in GENUINE:
        hours = sum(item.length_s for item in of_kind[kind]) / 3600
        count = sum(len(item.findings) for item in of_kind[kind])
        wrong[kind] = {"findings": count, "hours": round(hours, 2)}
    both = of_kind["genuine"] + of_kind["spliced"]
    llr = np.array([pool(item.scored, calibration, 0.0).llr for item in both])
    is_spliced = np.array([item.kind == "spliced" for item in both])
    with_findings = [bool(item.findings) for item in of_kind["synthetic"]]
    return {
        "recordings_each": len(of_kind["spliced"]),
        "located": located,
        "wrong": wrong,
        "synthetic_with_findings": round(float(np.mean(with_findings)), 3),
        "auc_of_recordings": round(evaluation.auc(llr, is_spliced), 3),
    }


def pooling(
    recordings: list[Recording], params: dict[str, float], top_share: float
) -> dict[str, float]:
    """Return what a weight of the highest quarter does to recordings of each kind.

    Args:
        recordings: Recordings of all kinds.
        params: The calibration.
        top_share: The weight, as a share of that of the mean.

    Returns:
        Parts of each kind with more than even odds, and the AUC of synthetic and of spliced ones
        against genuine ones.
    """
    scale = params["scale"]
    calibration = Calibration.from_params({**params, "top_scale": top_share * scale})
    recordings = [item for item in recordings if item.kind in KINDS]
    llr = np.array([pool(item.scored, calibration, 0.0).llr for item in recordings])
    kinds = np.array([item.kind for item in recordings])
    found = {kind: round(float((llr[kinds == kind] > 0).mean()), 3) for kind in set(kinds)}
    for kind in set(kinds) - {"genuine"}:
        chosen = (kinds == kind) | (kinds == "genuine")
        area = evaluation.auc(llr[chosen], kinds[chosen] == kind)
        found[f"auc, {kind}"] = round(area, 3)
    return found


def _changed(
    piece: NDArray[np.int16], change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.int16]:
    """Return a clip through one condition of the robustness table."""
    return (np.clip(change(piece.astype(np.float32) / 32768), -1, 1) * 32767).astype(np.int16)


def _locate(
    samples: NDArray[np.int16], network: _Fold, calibration: Calibration
) -> tuple[list[Scored], tuple[Finding, ...]]:
    """Cut, score and locate as the product does; all of it counts as speech."""
    sound, cutter = samples.astype(np.float32) / 32768, WindowCutter()
    with Scoring(network, lambda: 0.0) as scoring:
        for window in cutter.feed(sound, np.ones(sound.size // FRAME, np.float32)):
            scoring.add(window)
        for window in cutter.finish():
            scoring.add(window)
        scored = scoring.finish()
    located = findings(scored, calibration) or look_closer(
        scoring.places,
        scored,
        calibration,
        lambda cut: run(network, cut)[0].mean(axis=1),
        lambda cut: cutter.spoken_s(cut.start, cut.end),
    )
    return scored, located
