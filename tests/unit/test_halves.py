"""What is stored of a file, whichever worker looks at it."""

import subprocess

import pytest

from shared.errors import NoVideoTrack
from shared.halves import examine
from shared.records import Analysis, Outcome, PartialResult
from shared.settings import Settings
from workers.samples import SAMPLES


def heard(modality):
    return Analysis(PartialResult(modality=modality, outcome=Outcome.SCORED, llr=0.0))


@pytest.mark.parametrize(("container", "status"), [("wav", "absent"), ("adts", "unsupported")])
def test_the_sound_half_tells_the_origin_of_a_container_without_picture(
    tmp_path, container, status
):
    path = tmp_path / "voice"
    source = ("-i", str(SAMPLES[0]), "-vn", "-t", "1", "-f", container)
    subprocess.run(["ffmpeg", "-v", "error", *source, str(path)], check=True)

    def no_picture(*_):
        raise NoVideoTrack

    audio, _ = examine(path, "audio", lambda *_: heard("audio"), Settings())
    video, _ = examine(path, "video", no_picture, Settings())

    assert audio.result.provenance == {"status": status}
    assert video.result.provenance is None


def test_the_picture_half_tells_the_origin_of_a_video():
    audio, _ = examine(SAMPLES[0], "audio", lambda *_: heard("audio"), Settings())
    video, _ = examine(SAMPLES[0], "video", lambda *_: heard("video"), Settings())

    assert audio.result.provenance is None
    assert video.result.provenance == {"status": "absent"}
