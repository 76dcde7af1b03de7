"""The training pool as arrays: clips trimmed to their speech, degraded and noisy copies of each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime as ort
import soundfile as sf
import torch
from audio_augment import RATE, Samples, add_hiss, degrade, normalise
from audio_nets import WINDOW
from caching import digest_of
from numpy.typing import NDArray
from torch import Tensor

#: Sound kept around the speech, longest clip, and least speech of a clip that is used.
PAD, LONGEST = RATE // 10, 8 * RATE
LEAST_SPEECH_S = 1.0
_FRAME, _CONTEXT = 512, 64
_PARTS = ("pcm", "off", "speech")
_BATCH = 16


@dataclass
class Clips:
    """Clips of one manifest, as stored on disk.

    Attributes:
        rows: Lines of the manifest.
        pcm: int16 of shape (1 + degraded copies + 1, all samples); copy 0 is the clean one, the
            last one has noise alone.
        offsets: First sample of each clip, and the end of the last.
        speech_s: Speech in each clip, in seconds.
    """

    rows: list[dict[str, str]]
    pcm: NDArray[np.int16]
    offsets: NDArray[np.int64]
    speech_s: NDArray[np.float64]

    def clip(self, copy: int, index: int) -> NDArray[np.int16]:
        """Return one copy of one clip."""
        return self.pcm[copy, self.offsets[index] : self.offsets[index + 1]]


def read_rows(manifest: Path) -> list[dict[str, str]]:
    """Read a manifest whose labels are bonafide and spoof."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if unknown := {row["label"] for row in rows} - {"bonafide", "spoof"}:
        raise SystemExit(f"{manifest} has labels that are not known: {sorted(unknown)}.")
    return rows


def prepare(manifest: Path, stem: Path, copies: int, *, every: int = 1) -> Clips:
    """Trim and degrade each `every`-th clip of a manifest, or read what is stored beside `stem`.

    Args:
        manifest: What clips there are.
        stem: Where the arrays are kept; the names go on with a digest of what they were made of.
        copies: Copies through the chain of degradations, besides the clean and the noisy one.
        every: Each of so many clips is taken.
    """
    rows = read_rows(manifest)[::every]
    sizes = [(manifest.parent / row["file"]).stat().st_size for row in rows]
    made_of = digest_of([[row["file"] for row in rows], sizes, copies])
    files = [stem.with_name(f"{stem.name}_{made_of}_{part}.npy") for part in _PARTS]
    if not all(file.exists() for file in files):
        _store(manifest, rows, files, copies)
    pcm = np.load(files[0], mmap_mode="r")
    return Clips(rows, pcm, np.load(files[1]), np.load(files[2]))


def _store(manifest: Path, rows: list[dict[str, str]], files: list[Path], copies: int) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    package = distribution("silero-vad")
    detector = ort.InferenceSession(
        str(package.locate_file("silero_vad/data/silero_vad_16k_sequence.onnx")), options
    )
    kept: list[list[NDArray[np.int16]]] = [[] for _ in range(copies + 2)]
    speech_s = []
    for index, row in enumerate(rows):
        samples, rate = sf.read(manifest.parent / row["file"], dtype="float32", always_2d=True)
        if rate != RATE:
            raise ValueError(f"{row['file']} has {rate} samples a second; {RATE} are expected.")
        clean = normalise(samples.mean(1))
        frames = np.flatnonzero(speech_probabilities(detector, clean) > 0.5)
        speech_s.append(frames.size * _FRAME / RATE)
        if frames.size:
            first, last = max(0, frames[0] * _FRAME - PAD), (frames[-1] + 1) * _FRAME + PAD
            clean = clean[first:last]
        clean = clean[:LONGEST]
        rng = np.random.default_rng([7, index])
        kept[0].append((np.clip(clean, -1, 1) * 32767).astype(np.int16))
        for copy, change in enumerate([*[degrade] * copies, add_hiss], start=1):
            changed = change(clean, rng)
            changed /= max(1.0, float(np.abs(changed).max()))
            kept[copy].append((changed * 32767).astype(np.int16))
    lengths = [clip.size for clip in kept[0]]
    np.save(files[0], np.stack([np.concatenate(copy) for copy in kept]))
    np.save(files[1], np.concatenate([[0], np.cumsum(lengths)]))
    np.save(files[2], np.array(speech_s))


def speech_probabilities(detector: ort.InferenceSession, samples: Samples) -> NDArray[np.float32]:
    """Return the speech probability of every 32 ms frame."""
    frames = samples.size // _FRAME
    if not frames:
        return np.zeros(0, np.float32)
    padded = np.concatenate([np.zeros(_CONTEXT, np.float32), samples[: frames * _FRAME]])
    rows = np.lib.stride_tricks.sliding_window_view(padded, _FRAME + _CONTEXT)[::_FRAME]
    state = np.zeros((1, 1, 128), np.float32)
    (found, *_) = detector.run(None, {"input": np.ascontiguousarray(rows), "h": state, "c": state})
    return np.asarray(found)


def windows(clip: NDArray[np.int16], rng: np.random.Generator | None) -> list[NDArray[np.int16]]:
    """Cut 4 s windows: one at random where `rng` is given, else evenly spread two seconds apart."""
    spare = clip.size - WINDOW
    if spare <= 0:
        return [np.resize(clip, WINDOW)]
    if rng is not None:
        start = int(rng.integers(0, spare))
        return [clip[start : start + WINDOW]]
    count = max(1, 1 + int(np.ceil(spare / (2 * RATE) - 0.5)))
    return [clip[start : start + WINDOW] for start in np.linspace(0, spare, count).astype(int)]


@dataclass
class Figures:
    """What the front end says about every window, (windows, figures), and whose they are."""

    values: NDArray[np.float32]
    copy: NDArray[np.int64]
    clip: NDArray[np.int64]


def figures(clips: Clips, front_end: Callable[[Tensor], Tensor], file: Path) -> Figures:
    """Run a front end over all copies of all clips, or read what an earlier run stored."""
    if not file.exists():
        rng = np.random.default_rng(0)
        values, owners = [], []
        for batch, whose in batches(clips, rng):
            with torch.no_grad():
                samples = torch.tensor(np.stack(batch)).float() / 32768
                values.append(front_end(samples).numpy())
            owners += whose
        np.savez(file, x=np.concatenate(values), idx=np.array(owners))
    stored = np.load(file)
    return Figures(stored["x"], stored["idx"][:, 0], stored["idx"][:, 1])


def batches(
    clips: Clips, rng: np.random.Generator
) -> Iterator[tuple[list[NDArray[np.int16]], list[tuple[int, int]]]]:
    """Yield windows of all copies of all clips by the batch, with the copy and clip of each."""
    batch: list[NDArray[np.int16]] = []
    whose: list[tuple[int, int]] = []
    for copy in range(clips.pcm.shape[0]):
        for index in range(len(clips.rows)):
            cut = windows(clips.clip(copy, index), rng if copy else None)
            batch += cut
            whose += [(copy, index)] * len(cut)
            last = copy == clips.pcm.shape[0] - 1 and index == len(clips.rows) - 1
            if len(batch) >= _BATCH or last:
                yield batch, whose
                batch, whose = [], []
