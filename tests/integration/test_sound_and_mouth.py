"""A made talking head through both halves: own sound agrees, late and foreign sound do not."""

import subprocess

import cv2
import numpy as np
import pytest

import workers.samples
from shared.media import PCM_RATE, PcmReader
from shared.models import Registry
from shared.probing import probe
from workers.aggregator import crossmodal
from workers.audio import pipeline as audio
from workers.video import pipeline as video

FPS = 25
#: The mouth in the sample's picture: centre, half width, and half height when wide open.
MOUTH, WIDE, OPEN = (210, 284), 26, 24
LATE_S = 0.6


@pytest.fixture(scope="module")
def registry():
    return Registry(device="cpu", threads=1)


def sound_of(path):
    media = probe(path)
    return np.concatenate(list(PcmReader(path, media, media.of_kind("audio")[0])))


def openings(pcm):
    """Return how far the mouth is open in each picture, 0 to 1: loudness, a little smoothed."""
    points = pcm[: pcm.size // (PCM_RATE // FPS) * (PCM_RATE // FPS)].reshape(-1, PCM_RATE // FPS)
    loud = np.sqrt(np.square(points).mean(axis=1))
    soft = np.convolve(loud, [0.25, 0.5, 0.25], "same")
    return np.clip(soft / np.quantile(soft, 0.95), 0, 1)


def write(path, arguments, data):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, path], input=data, check=True)


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    """Draw a mouth that opens with the speech; film it with its own sound, late and foreign."""
    folder = tmp_path_factory.mktemp("talking")
    genuine, other = workers.samples.SAMPLES
    picture = folder / "still.png"
    write(picture, ["-i", genuine, "-frames:v", "1"], None)
    still = cv2.imread(str(picture))
    frames = []
    for opening in openings(sound_of(genuine)):
        frame, mask = still.copy(), np.zeros(still.shape[:2], dtype=np.uint8)
        cv2.ellipse(mask, MOUTH, (WIDE, max(2, round(OPEN * opening))), 0, 0, 360, 255, -1)
        frame[cv2.GaussianBlur(mask, (0, 0), 2) > 100] = (30, 20, 40)
        frames.append(frame.tobytes())
    silent = folder / "silent.mp4"
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{still.shape[1]}x{still.shape[0]}"]
    write(silent, [*raw, "-r", f"{FPS}", "-i", "-", "-pix_fmt", "yuv420p"], b"".join(frames))
    films = {}
    for name, source, delay_s in (
        ("own", genuine, 0),
        ("late", genuine, LATE_S),
        ("foreign", other, 0),
    ):
        films[name] = folder / f"{name}.mp4"
        delay = f"adelay={round(1000 * delay_s)}:all=1"
        streams = ["-i", silent, "-i", source, "-map", "0:v", "-map", "1:a", "-af", delay]
        write(films[name], [*streams, "-c:v", "copy", "-c:a", "aac"], None)
    return films


@pytest.fixture(scope="module")
def found(registry, talking):
    look, hear = video.load(registry), audio.load(registry)
    seen = video.analyze(talking["own"], probe(talking["own"]), look, sequence=False).result
    return {
        name: crossmodal.compare(audio.analyze(path, probe(path), hear, stability=False), seen)
        for name, path in talking.items()
    }


def test_own_sound_fits_the_mouth(found):
    assert found["own"].near > found["own"].far
    assert found["own"].offset_s == pytest.approx(0, abs=0.12)


def test_late_sound_is_found_with_its_offset(found):
    assert found["late"].mismatch > found["own"].mismatch + 0.3
    assert found["late"].offset_s == pytest.approx(LATE_S, abs=0.12)


def test_foreign_sound_does_not_fit(found):
    assert found["foreign"].mismatch > found["own"].mismatch + 0.3
