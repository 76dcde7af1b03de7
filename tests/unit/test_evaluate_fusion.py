"""The evaluation of the whole: figures that can be worked out by hand, and bad manifests."""

import numpy as np
import pytest

from shared.agreement import encode
from shared.errors import SetupError
from shared.models import Registry
from shared.records import Coverage, Outcome, PartialResult
from workers import evaluate_fusion
from workers.aggregator import fusion

MODEL = fusion.load(Registry())
STRONG = {"real": (-5, -5), "voice": (5, -5), "picture": (-5, 5), "both": (5, 5)}


def half(modality, llr, sync=()):
    if llr is None:
        return PartialResult(
            modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_speech", sync=sync
        )
    cover = Coverage(speech_s=20.0, faces=30)
    return PartialResult(
        modality=modality, outcome=Outcome.SCORED, llr=llr, coverage=cover, sync=sync
    )


def manifest(tmp_path, text):
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    return path


def clips_of(tmp_path, kinds):
    lines = [f"{n}.mp4,{kind},g{n}" for n, kind in enumerate(kinds)]
    return evaluate_fusion.read_manifest(manifest(tmp_path, "\n".join(["file,kind,group", *lines])))


def test_separable_clips_of_every_kind_are_all_told_right(tmp_path):
    kinds = list(STRONG) * 5
    halves = [(half("audio", STRONG[k][0]), half("video", STRONG[k][1])) for k in kinds]
    figures = evaluate_fusion.report(
        clips_of(tmp_path, kinds), halves, evaluate_fusion.decide(halves, MODEL)
    )

    assert figures["n"] == 20
    assert figures["methods"]["fused"]["auc"] == 1
    assert figures["methods"]["audio"]["auc"] < 1
    assert figures["whole"] == {
        "right": 20,
        "wrong": 0,
        "withheld": 0,
        "real_called_likely_manipulated": 0,
    }
    assert figures["parts"] == {
        "real": {"none": 5},
        "voice": {"voice": 5},
        "picture": {"picture": 5},
        "both": {"both": 5},
    }


def test_what_is_not_scored_is_counted_and_withheld(tmp_path):
    halves = [(half("audio", None), half("video", None)), (half("audio", 5), half("video", 5))]
    figures = evaluate_fusion.report(
        clips_of(tmp_path, ["real", "both"]), halves, evaluate_fusion.decide(halves, MODEL)
    )

    assert figures["methods"]["fused"]["not_scored"] == 1
    assert figures["whole"]["withheld"] == 1
    assert figures["labels"]["real"] == {"not_applicable": 1}


def test_a_real_clip_that_is_accused_is_counted_apart(tmp_path):
    halves = [(half("audio", 5), half("video", 5))] * 2
    figures = evaluate_fusion.report(
        clips_of(tmp_path, ["real", "both"]), halves, evaluate_fusion.decide(halves, MODEL)
    )

    assert figures["whole"]["real_called_likely_manipulated"] == 1
    assert figures["whole"]["wrong"] == 1


def test_clips_of_foreign_sound_are_no_part_of_the_main_figures(tmp_path):
    kinds = ["real", "both", "mismatch"]
    halves = [(half("audio", -5), half("video", -5))] * 3
    figures = evaluate_fusion.report(
        clips_of(tmp_path, kinds), halves, evaluate_fusion.decide(halves, MODEL)
    )

    assert figures["methods"]["fused"]["n"] == 2
    assert "mismatch" in figures["labels"]


def test_reliability_compares_prediction_with_outcome(tmp_path):
    clips = clips_of(tmp_path, ["real", "both", "both", "real"])
    rows = evaluate_fusion.reliability(clips, [-3.0, 3.0, 3.0, 3.0])

    assert [row["n"] for row in rows] == [1, 3]
    assert rows[1]["observed"] == pytest.approx(2 / 3, abs=1e-3)  # 2 x 1/4 against 1 x 1/4


def test_swapped_sound_is_told_from_own_sound(tmp_path):
    own, foreign = np.random.default_rng(1).normal(size=(2, 100, 4))
    spoken = np.ones((100, 1))
    text = "file,kind,sync,group\n" + "".join(
        f"{n}.mp4,{kind},{sync},g{n}\n"
        for n, (kind, sync) in enumerate([("real", "own"), ("mismatch", "swapped")] * 3)
    )
    sounds = {"own": np.hstack([spoken, own]), "swapped": np.hstack([spoken, foreign])}
    clips = evaluate_fusion.read_manifest(manifest(tmp_path, text))
    halves = [
        (
            half("audio", 0, encode(sounds[clip.line.columns["sync"]], 0.0)),
            half("video", 0, encode(own, 0.0)),
        )
        for clip in clips
    ]
    figures = evaluate_fusion.report(clips, halves, evaluate_fusion.decide(halves, MODEL))["sync"]

    assert figures["swapped"]["auc"] == 1
    assert figures["shifted"]["auc"] is None
    assert figures["not_applicable"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns file, kind or label"),
        ("file,group\na.mp4,g\n", "the columns file, kind or label"),
        ("file,kind\na.mp4,genuine\n", "Line 2"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(tmp_path, text, message):
    with pytest.raises(SetupError, match=message):
        evaluate_fusion.read_manifest(manifest(tmp_path, text))


def test_a_manifest_with_plain_labels_will_do(tmp_path):
    clips = evaluate_fusion.read_manifest(
        manifest(tmp_path, "file,label\na.mp4,fake\nb.mp4,real\nc.wav,spoof\nd.wav,bonafide\n")
    )

    assert [clip.fake for clip in clips] == [True, False, True, False]
    assert [clip.line.group for clip in clips] == ["a.mp4", "b.mp4", "c.wav", "d.wav"]
