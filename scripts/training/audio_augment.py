"""What the world does to speech: codecs, telephone, rooms, noise; for both classes alike."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Samples = NDArray[np.float32]
Generator = np.random.Generator

RATE = 16_000
#: ffmpeg encoder arguments, sample rate and container of every codec that needs a child process.
CODECS: dict[str, tuple[list[str], int, str]] = {
    "mp3_32k": (["-c:a", "libmp3lame", "-b:a", "32k"], 16_000, "mp3"),
    "mp3_64k": (["-c:a", "libmp3lame", "-b:a", "64k"], 16_000, "mp3"),
    "mp3_128k": (["-c:a", "libmp3lame", "-b:a", "128k"], 44_100, "mp3"),
    "aac_24k": (["-c:a", "aac", "-b:a", "24k"], 16_000, "adts"),
    "aac_48k": (["-c:a", "aac", "-b:a", "48k"], 16_000, "adts"),
    "aac_96k": (["-c:a", "aac", "-b:a", "96k"], 44_100, "adts"),
    "opus_12k": (["-c:a", "libopus", "-b:a", "12k", "-application", "voip"], 16_000, "ogg"),
    "opus_24k": (["-c:a", "libopus", "-b:a", "24k", "-application", "voip"], 16_000, "ogg"),
    "opus_48k": (["-c:a", "libopus", "-b:a", "48k"], 48_000, "ogg"),
    "opus_nb_8k": (["-c:a", "libopus", "-b:a", "8k", "-application", "voip"], 8_000, "ogg"),
    "speex_nb": (["-c:a", "libspeex", "-b:a", "15k"], 8_000, "ogg"),
    "gsm": (["-c:a", "libgsm"], 8_000, "gsm"),
    "g722": (["-c:a", "g722"], 16_000, "g722"),
    "g726_32k": (["-c:a", "g726", "-b:a", "32k"], 8_000, "wav"),
    "vorbis": (["-c:a", "libvorbis", "-q:a", "1"], 16_000, "ogg"),
}
#: Codecs of telephone calls, whose band ends at 3.4 kHz.
TELEPHONE = ("g711", "gsm", "g726_32k", "speex_nb", "opus_nb_8k")
#: Codecs of messengers, the web and broadcast.
WIDEBAND = tuple(name for name in CODECS if name not in TELEPHONE)


def fit(samples: Samples, length: int) -> Samples:
    """Cut or zero-pad to `length` samples."""
    if samples.size >= length:
        return samples[:length]
    return np.pad(samples, (0, length - samples.size))


def normalise(samples: Samples, level_db: float = -26.0) -> Samples:
    """Bring the root mean square to `level_db` below full scale; silence stays silent."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    if rms < 1e-6:
        return samples
    return np.asarray(samples * (10 ** (level_db / 20) / rms), dtype=np.float32)


def transcode(samples: Samples, codec: str) -> Samples:
    """Encode and decode 16 kHz speech with one codec; the length stays.

    Raises:
        subprocess.CalledProcessError: ffmpeg lacks the codec or failed.
    """
    if codec == "g711":
        return _g711(samples)
    options, rate, container = CODECS[codec]
    raw = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    quiet = ["ffmpeg", "-loglevel", "error", "-threads", "1"]
    encoded = subprocess.run(
        [
            *(*quiet, "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"),
            *("-ar", str(rate), *options, "-f", container, "pipe:1"),
        ],
        input=raw,
        capture_output=True,
        check=True,
    ).stdout
    source = ["-f", container] if container in {"gsm", "g722"} else []
    decoded = subprocess.run(
        [*quiet, *source, "-i", "pipe:0", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "pipe:1"],
        input=encoded,
        capture_output=True,
        check=True,
    ).stdout
    return fit(np.frombuffer(decoded, "<i2").astype(np.float32) / 32768, samples.size)


def _g711(samples: Samples) -> Samples:
    """Telephone band, 8 kHz, mu-law companding (ITU-T G.711) at 8 bits."""
    narrow = signal.resample_poly(samples, 1, 2)
    band = signal.butter(4, [300, 3400], "bandpass", fs=8000, output="sos")
    narrow = np.clip(signal.sosfilt(band, narrow), -1, 1)
    companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    steps = np.round(companded * 127) / 127
    expanded = np.sign(steps) * (256 ** np.abs(steps) - 1) / 255
    return fit(signal.resample_poly(expanded, 2, 1).astype(np.float32), samples.size)


def _noise(samples: Samples, rng: Generator) -> Samples:
    """Coloured noise (white to brown) at 8 to 35 dB below the speech."""
    white = rng.standard_normal(samples.size)
    slope = rng.uniform(0, 1.0)
    return add_noise(samples, white, slope, rng.uniform(8, 35))


def add_hiss(samples: Samples, rng: Generator) -> Samples:
    """Add stronger noise (white to pink) at 8 to 25 dB below the speech, and nothing else."""
    white = rng.standard_normal(samples.size)
    return add_noise(samples, white, rng.uniform(0, 1), rng.uniform(8, 25))


def add_noise(samples: Samples, white: NDArray[np.float64], slope: float, snr_db: float) -> Samples:
    """Add noise whose amplitude falls with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(white)
    spectrum /= np.maximum(np.arange(spectrum.size), 8.0) ** slope
    noise = np.fft.irfft(spectrum, samples.size)
    scale = np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return np.asarray(samples + scale * noise, dtype=np.float32)


def _music(samples: Samples, rng: Generator) -> Samples:
    """A bed of slowly changing chords, 10 to 25 dB below the speech."""
    time_s = np.arange(samples.size) / RATE
    bed = np.zeros(samples.size)
    for start in np.arange(0, time_s[-1] + 1, 1.0):
        root = 110 * 2 ** (rng.integers(0, 24) / 12)
        gate = np.clip(1 - np.abs(time_s - start - 0.5), 0, 1)
        for ratio in (1, 1.25, 1.5, 2):
            for partial in (1, 2, 3):
                tone = np.sin(2 * np.pi * root * ratio * partial * time_s + rng.uniform(0, 6.28))
                bed += gate * tone / partial**1.5
    snr_db = rng.uniform(10, 25)
    scale = np.sqrt(np.mean(samples**2) / max(float(np.mean(bed**2)), 1e-9) / 10 ** (snr_db / 10))
    return np.asarray(samples + scale * bed, dtype=np.float32)


def add_room(samples: Samples, rng: Generator) -> Samples:
    """A small room: direct sound, a few early reflections and an exponential tail."""
    t60_s = rng.uniform(0.08, 0.6)
    length = int(t60_s * RATE)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: int(0.002 * RATE)] = 0
    tail *= 10 ** (-rng.uniform(2, 16) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return fit(signal.fftconvolve(samples, tail).astype(np.float32), samples.size)


def _equalise(samples: Samples, rng: Generator) -> Samples:
    """A gentle random frequency response: ±8 dB between six points, linear phase."""
    points = np.array([0, 300, 1000, 2500, 4500, 8000]) / 8000
    gains = 10 ** (rng.uniform(-8, 8, points.size) / 20)
    taps = signal.firwin2(129, points, gains)
    return np.asarray(signal.fftconvolve(samples, taps, "same"), dtype=np.float32)


def _band(samples: Samples, rng: Generator) -> Samples:
    """Band limits of old or cheap equipment: high-pass to 300 Hz, low-pass from 3.2 kHz."""
    low, high = rng.uniform(30, 300), rng.uniform(3200, 7600)
    sos = signal.butter(int(rng.integers(2, 8)), [low, high], "bandpass", fs=RATE, output="sos")
    return np.asarray(signal.sosfilt(sos, samples), dtype=np.float32)


def _resample(samples: Samples, rng: Generator) -> Samples:
    """There and back through another sample rate (8 to 24 kHz)."""
    up, down = ((1, 2), (11, 16), (3, 4), (11, 8), (3, 2))[rng.integers(0, 5)]
    other = signal.resample_poly(samples, up, down)
    return fit(signal.resample_poly(other, down, up).astype(np.float32), samples.size)


def _clip(samples: Samples, rng: Generator) -> Samples:
    """Overdrive: the loudest 0.05 to 2 % of the samples are clipped."""
    limit = np.quantile(np.abs(samples), 1 - 10 ** rng.uniform(-3.3, -1.7))
    return np.asarray(np.clip(samples, -limit, limit), dtype=np.float32)


def _raw_boost(samples: Samples, rng: Generator) -> Samples:
    """Signal-dependent impulsive noise and a weak non-linearity, after the idea of RawBoost."""
    boosted = samples.astype(np.float64)
    level = float(np.abs(samples).max()) + 1e-9
    for power in (2, 3):
        band = signal.firwin(
            65, sorted(rng.uniform(60, 7800, 2) + np.array([0, 60])), fs=RATE, pass_zero=False
        )
        shaped = level * np.sign(samples) * (np.abs(samples) / level) ** power
        boosted += 10 ** (-rng.uniform(12, 30) / 20) * signal.fftconvolve(shaped, band, "same")
    where = rng.random(samples.size) < rng.uniform(0, 0.02)
    boosted += where * rng.standard_normal(samples.size) * np.abs(samples) * rng.uniform(0, 0.5)
    return boosted.astype(np.float32)


def gate(samples: Samples, rng: Generator) -> Samples:
    """A noise gate: what is well below the loudest speech is turned down by 6 to 60 dB."""
    frame = int(rng.uniform(0.005, 0.02) * RATE)
    padded = fit(samples, -(-samples.size // frame) * frame).reshape(-1, frame)
    level_db = 10 * np.log10(np.mean(np.square(padded, dtype=np.float64), axis=1) + 1e-10)
    closed = level_db < np.quantile(level_db, 0.95) - rng.uniform(15, 40)
    gain = np.where(closed, 10 ** (-rng.uniform(6, 60) / 20), 1.0)
    reach = int(rng.integers(1, 8))  # frames that it takes to open and to close
    gain = np.convolve(np.pad(gain, reach, "edge"), np.ones(2 * reach + 1), "valid")
    middle = (np.arange(gain.size) + 0.5) * frame
    smooth = np.interp(np.arange(samples.size), middle, gain / (2 * reach + 1))
    return np.asarray(samples * smooth, dtype=np.float32)


def coarse(samples: Samples, bits: int) -> Samples:
    """Samples of few bits, full scale at the loudest."""
    steps = 2 ** (bits - 1) / max(float(np.abs(samples).max()), 1e-6)
    return np.asarray(np.round(samples * steps) / steps, dtype=np.float32)


def _coarse(samples: Samples, rng: Generator) -> Samples:
    """Samples of 7 to 12 bits, as old sound cards and games keep them."""
    return coarse(samples, int(rng.integers(7, 13)))


_STEPS: tuple[tuple[float, Callable[[Samples, Generator], Samples]], ...] = (
    (0.30, _equalise),
    (0.25, add_room),
    (0.35, _noise),
    (0.08, _music),
    (0.20, _raw_boost),
    (0.20, _band),
    (0.20, _resample),
    (0.12, _clip),
    (0.12, gate),
    (0.08, _coarse),
)


def degrade(samples: Samples, rng: Generator, *, codec_share: float = 0.6) -> Samples:
    """Apply a random chain: room and equipment first, then at most one codec."""
    out = normalise(samples, rng.uniform(-32, -18))
    for share, step in _STEPS:
        if rng.random() < share:
            out = step(out, rng)
    if rng.random() < codec_share:
        names = TELEPHONE if rng.random() < 0.35 else WIDEBAND
        out = transcode(out, names[rng.integers(0, len(names))])
    return np.nan_to_num(out)
