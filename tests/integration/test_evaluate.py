"""`guardian evaluate` on files as people have them: good ones, bad ones, and some that are gone."""

import csv
import json
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from workers.samples import SAMPLES

pytestmark = pytest.mark.integration
GENUINE, FAKE = SAMPLES
SILENCE = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "3")
BLACK = ("-f", "lavfi", "-i", "color=black:size=320x240:rate=25", "-t", "2")


def make(path: Path, *arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *arguments, str(path)], check=True)


def evaluate(what, tmp_path, lines, *options, status=0):
    """Write a manifest and evaluate it; what was printed, and the line of each file."""
    manifest, scores = tmp_path / "list.csv", tmp_path / "scores.csv"
    manifest.write_text("\n".join(lines))
    command = ["guardian", "evaluate", what, "--manifest", str(manifest), *options]
    done = subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == status, done.stderr
    if not scores.exists():
        return done, {}
    with scores.open(newline="") as file:
        return done, {row["file"]: row for row in csv.DictReader(file)}


@lru_cache
def analyzed(path: Path) -> dict:
    """What the command for one file says."""
    guardian = Path(sys.executable).with_name("guardian")
    done = subprocess.run(
        [guardian, "analyze", str(path), "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_voices_are_scored_and_what_is_not_is_counted_by_reason(tmp_path):
    make(tmp_path / "a.wav", "-i", str(GENUINE), "-vn", "-ac", "1")
    make(tmp_path / "b.mp3", "-i", str(FAKE), "-vn", "-ac", "1")
    make(tmp_path / "silent.flac", *SILENCE)
    (tmp_path / "text.wav").write_text("no sound")
    os.mkfifo(tmp_path / "pipe.wav")  # nobody writes: it must not be waited for
    done, rows = evaluate(
        "audio",
        tmp_path,
        [
            "file,label,group,codec",
            "a.wav,bonafide,one,pcm",
            f"{GENUINE},bonafide,two,aac",
            "b.mp3,spoof,three,mp3",
            f"{FAKE},fake,four,aac",
            "silent.flac,bonafide,five,flac",
            "text.wav,spoof,six,pcm",
            "gone.wav,spoof,seven,pcm",
            "pipe.wav,spoof,eight,",
        ],
        *("--by", "codec", "--scores", str(tmp_path / "scores.csv"), "--json"),
    )

    figures = json.loads(done.stdout)
    assert (figures["n"], figures["bonafide"], figures["spoof"]) == (4, 2, 2)
    assert (figures["auc"], figures["eer"]) == (1, 0)
    assert figures["not_scored"] == 4
    assert figures["abstained"] == {
        "no_speech": 1,
        "not_media": 2,
        "unreadable: No such file or directory": 1,
    }
    assert figures["by"]["codec"]["mp3"]["n"] == 1
    assert figures["by"]["codec"]["aac"]["auc"] == 1
    assert figures["by"]["codec"]["pcm"]["not_scored"] == 2
    assert figures["by_group"]["one"]["n"] == 1
    assert figures["by_group"]["one"]["auc"] is None  # one class alone has none
    assert figures["fpr_at_threshold"] == 0
    assert figures["real_time_factor"] > 0
    assert [row["reason"] for row in rows.values()] == [
        *("", "", "", "", "no_speech", "not_media", "unreadable: No such file or directory"),
        "not_media",
    ]
    assert rows["silent.flac"]["llr"] == ""
    for name in ("a.wav", "b.mp3"):  # these shared a decoder
        assert float(rows[name]["llr"]) == analyzed(tmp_path / name)["audio"]["llr"]
    assert float(rows[str(FAKE)]["llr"]) == analyzed(FAKE)["audio"]["llr"]


def test_pictures_are_scored_beside_those_without_a_face(tmp_path):
    make(tmp_path / "black.mp4", *BLACK, "-pix_fmt", "yuv420p")
    make(tmp_path / "sound.wav", *SILENCE)
    done, rows = evaluate(
        "video",
        tmp_path,
        [
            "file,label,manipulation",
            f"{GENUINE},real,",
            f"{FAKE},fake,blend",
            "black.mp4,real,",
            "sound.wav,fake,none",
        ],
        *("--scores", str(tmp_path / "scores.csv"), "--json"),
    )

    figures = json.loads(done.stdout)
    assert (figures["n"], figures["auc"]) == (2, 1)
    assert figures["abstained"] == {"no_face": 1, "no_video_track": 1}
    assert figures["by"]["manipulation"]["blend"]["n"] == 2  # with all untouched ones
    assert figures["by"]["manipulation"]["none"]["not_scored"] == 2
    assert rows["black.mp4"] == {
        "file": "black.mp4",
        "label": "real",
        "group": "black.mp4",
        "llr": "",
        "reason": "no_face",
    }


def test_whole_recordings_get_the_verdict_of_the_command_for_one_file(tmp_path):
    make(tmp_path / "sound.wav", "-i", str(FAKE), "-vn", "-ac", "1")
    done, rows = evaluate(
        "fusion",
        tmp_path,
        [
            "file,kind",
            f"{GENUINE},real",
            f"{FAKE},both",
            "sound.wav,voice",
            "gone.mp4,picture",
        ],
        *("--scores", str(tmp_path / "scores.csv"), "--json"),
    )

    figures = json.loads(done.stdout)
    assert figures["n"] == 4
    assert figures["methods"]["fused"]["n"] == 3
    assert figures["whole"]["right"] == 3
    assert figures["whole"]["withheld"] == 1
    assert figures["abstained"] == {
        "audio": {"unreadable: No such file or directory": 1},
        "video": {"no_video_track": 1, "unreadable: No such file or directory": 1},
    }
    verdict = analyzed(FAKE)["verdict"]
    assert rows[str(FAKE)]["label"] == verdict["label"]
    assert float(rows[str(FAKE)]["llr"]) == verdict["llr"]


def test_frames_are_chosen_by_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDIAN_MAX_FRAMES", "8")
    lines = ["file,label", f"{FAKE},fake"]
    scores = ("--scores", str(tmp_path / "scores.csv"), "--processes", "1")

    _, faces = evaluate("video", tmp_path, lines, *scores)
    _, whole = evaluate("fusion", tmp_path, lines, *scores)

    expected = analyzed.__wrapped__(FAKE)["video"]["llr"]
    assert float(faces[str(FAKE)]["llr"]) == expected
    assert float(whole[str(FAKE)]["video_llr"]) == expected


NONE = {"undecodable": 2}


@pytest.mark.parametrize(
    ("what", "why", "expected"),
    [
        ("audio", "abstained", NONE),
        ("video", "abstained", NONE),
        ("tamper", "not_examined", NONE),
        ("fusion", "abstained", {"audio": NONE, "video": NONE}),
    ],
)
def test_a_decoder_may_use_what_the_settings_say(tmp_path, monkeypatch, what, why, expected):
    monkeypatch.setenv("GUARDIAN_DECODE_MEMORY_BYTES", "1")
    make(tmp_path / "a.wav", "-i", str(GENUINE), "-vn")
    lines = ["file,label,start_s,end_s", f"{GENUINE},real,0,0", "a.wav,real,0,0"]
    options = ["--json", "--processes", "1"]
    if what == "tamper":
        what, lines = "video", [line.replace("real", "none") for line in lines]
        options.append("--tamper")

    done, _ = evaluate(what, tmp_path, lines, *options)

    assert json.loads(done.stdout)[why] == expected


def test_a_person_reads_a_table_and_a_wrong_manifest_is_one_sentence(tmp_path):
    by = ("--by", "codec", "--by", "label")
    shown, _ = evaluate("audio", tmp_path, ["file,label", f"{GENUINE},bonafide"], *by)
    wrong, _ = evaluate("audio", tmp_path, ["file,label", "a.wav,human"], "--json", status=1)

    assert "real_time_factor" in shown.stdout
    assert re.search(r"no_such_column.*codec", shown.stdout)
    assert "bonafide" in shown.stdout
    assert "of 1 files" not in shown.stderr  # progress is for terminals
    assert json.loads(wrong.stderr.splitlines()[-1])["error"] == {
        "code": "setup",
        "message": f"Line 2 of {tmp_path / 'list.csv'}: the label is 'human'; "
        "known are bonafide, real, spoof, fake.",
    }
