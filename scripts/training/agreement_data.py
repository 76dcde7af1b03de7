"""Mouths and sound of clips, as both halves see and hear them, kept in a folder between runs."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.agreement import RATE_HZ
from shared.errors import GuardianError
from shared.media import FrameReader, PcmReader, Sampling
from shared.models import Registry
from shared.probing import probe
from training.agreement_fit import Pair
from training.caching import digest_of
from workers.audio import speech
from workers.audio.syllables import spectrogram
from workers.video import lips
from workers.video.faces import FaceFinder

#: Time of the first row of a spectrogram, in seconds.
FIRST_S = 0.0125
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Talk:
    """One clip with sound and a face.

    Attributes:
        file: Name in the manifest.
        label: `real`, or `fake` where the picture is.
        group: Who is seen; clips of one person are never in two folds.
        start_s: Time of the first row of `mouth`.
        mouth: Pixels at `RATE_HZ`, shape (n, pixels).
        own: The same without what moves with the face, see `lips.Mouth`.
        sound: Bands at `RATE_HZ` from `FIRST_S` on, shape (m, bands).
        voiced: Whether each of those rows is speech, shape (m,).
    """

    file: str
    label: str
    group: str
    start_s: float
    mouth: Floats
    own: Floats
    sound: Floats
    voiced: NDArray[np.bool_]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which row of the sound is heard with each mouth; both are at the same rate."""
        first = round((self.start_s - FIRST_S) * RATE_HZ)
        return np.clip(first + np.arange(len(self.mouth)), 0, len(self.sound) - 1)

    @property
    def voiced_s(self) -> float:
        """Speech while the mouth is seen, in seconds."""
        return float(self.voiced[self.rows].sum()) / RATE_HZ

    @property
    def pair(self) -> Pair:
        """Mouth and sound at the same times; up to half a row apart."""
        return Pair(self.mouth, self.sound[self.rows])


def read(clips: Path, cache: Path) -> Iterator[Talk]:
    """Yield the clips of a manifest (file, label, identity, has_audio) that show a usable mouth."""
    cache.mkdir(parents=True, exist_ok=True)
    registry = Registry(device="cpu", threads=1)
    finder = FaceFinder(registry.session("face-finder"))
    voice_activity = speech.load(registry)
    left_out: Counter[str] = Counter()
    with (clips / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["has_audio"] == "1"]
    for row in rows:
        size = (clips / row["file"]).stat().st_size
        kept = cache / f"{Path(row['file']).stem}-{digest_of([row['file'], size, 'own'])}.npz"
        if not kept.exists():
            np.savez_compressed(
                kept, **_look(clips / row["file"], finder, voice_activity, left_out)
            )
        with np.load(kept) as arrays:
            if len(arrays["mouth"]):
                yield Talk(
                    row["file"],
                    row["label"],
                    row["identity"] or row["group"],
                    float(arrays["start_s"]),
                    arrays["mouth"].astype(np.float64),
                    arrays["own"].astype(np.float64),
                    arrays["sound"].astype(np.float64),
                    arrays["voiced"],
                )
    print(f"{len(rows)} clips with sound; left out: {dict(left_out)}", flush=True)


def _look(
    path: Path, finder: FaceFinder, voice_activity: object, left_out: Counter[str]
) -> dict[str, NDArray[np.generic]]:
    """Return the longest usable mouth of a clip and its sound; empty where there is none."""
    nothing = {"mouth": np.zeros(0), "sound": np.zeros(0), "voiced": np.zeros(0, dtype=np.bool_)}
    try:
        media = probe(path)
        track = media.of_kind("video")[0]
        every = max(1, int((track.fps or RATE_HZ) / RATE_HZ + 0.01))
        frames = FrameReader(path, media, track, Sampling(every), max_side_px=lips.BURST_SIDE_PX)
        mouths = lips.watch(frames, finder, left_out)
        pcm = np.concatenate(list(PcmReader(path, media, media.of_kind("audio")[0])))
    except (GuardianError, IndexError) as error:
        left_out[f"{type(error).__name__}"] += 1
        return nothing
    bands = spectrogram(pcm)
    if not mouths or not len(bands):
        return nothing
    mouth = max(mouths, key=lambda mouth: len(mouth.pictures))
    spoken = speech.SpeechStream(voice_activity).feed(pcm) >= speech.THRESHOLD
    times = FIRST_S + np.arange(len(bands)) / RATE_HZ
    frames_of_times = np.minimum((times / speech.FRAME_S).astype(int), max(0, spoken.size - 1))
    return {
        "start_s": np.array(mouth.start_s),
        "mouth": mouth.pictures.astype(np.float32),
        "own": mouth.own.astype(np.float32),
        "sound": bands.astype(np.float32),
        "voiced": spoken[frames_of_times],
    }
