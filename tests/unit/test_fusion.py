"""The meta-learner: what it concludes, what it refuses to conclude, and that it is monotone."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.agreement import RATE_HZ
from shared.models import Registry
from shared.records import (
    Coverage,
    Finding,
    Label,
    Outcome,
    PartialResult,
    Person,
    TimelinePoint,
)
from workers.aggregator import crossmodal, evidence, fusion, reasons

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MODEL = fusion.load(Registry())
NATS = st.floats(-12, 12)
FROZEN = Finding(type="frozen_run", start_s=1, end_s=2, detail="", strength=1.0)


def half(modality, llr, **more):
    cover = Coverage(speech_s=20.0) if modality == "audio" else Coverage(faces=30)
    return PartialResult(
        modality=modality, outcome=Outcome.SCORED, llr=llr, **{"coverage": cover, **more}
    )


def unexamined(modality, reason, outcome=Outcome.NOT_APPLICABLE):
    return PartialResult(modality=modality, outcome=outcome, reason=reason)


def decide(audio, video, prior=0.5, **more):
    return fusion.decide(audio, video, prior=prior, decided_at=NOW, model=MODEL, **more)


def codes(verdict):
    return [reason.code for reason in verdict.reasons]


NO_SOUND = unexamined("audio", "no_audio_track")
NO_FACE = unexamined("video", "no_face")


@pytest.mark.parametrize(
    ("audio_llr", "video_llr", "label", "part"),
    [
        (-5, -5, Label.LIKELY_AUTHENTIC, None),
        (6, -5, Label.LIKELY_MANIPULATED, "voice"),
        (-5, 6, Label.LIKELY_MANIPULATED, "picture"),
        (6, 6, Label.LIKELY_MANIPULATED, "both"),
        (0, 0, Label.INCONCLUSIVE, None),
    ],
)
def test_the_label_and_the_manipulated_part_follow_the_halves(audio_llr, video_llr, label, part):
    verdict = decide(half("audio", audio_llr), half("video", video_llr))

    assert (label, part) == (verdict.label, verdict.manipulated_part)


def test_an_authentic_voice_does_not_outweigh_a_manipulated_picture():
    verdict = decide(half("audio", -9), half("video", 9))

    assert verdict.probability > MODEL.bands.manipulated


@given(NATS, NATS, NATS)
def test_more_evidence_of_manipulation_never_lowers_the_probability(fixed, one, other):
    low, high = sorted((one, other))

    assert decide(half("audio", low), half("video", fixed)).llr <= (
        decide(half("audio", high), half("video", fixed)).llr + 1e-12
    )
    assert decide(half("audio", fixed), half("video", low)).llr <= (
        decide(half("audio", fixed), half("video", high)).llr + 1e-12
    )


@given(NATS, NATS)
def test_the_interval_contains_the_probability(audio_llr, video_llr):
    verdict = decide(half("audio", audio_llr), half("video", video_llr))
    low, high = verdict.interval

    assert low <= verdict.probability <= high


def test_a_missing_half_is_left_out_not_imputed():
    verdict = decide(NO_SOUND, half("video", 6))

    assert verdict.modalities_used == ("video",)
    assert verdict.audio_probability is None
    assert Label.LIKELY_MANIPULATED is verdict.label
    assert "no_audio_track" in codes(verdict)


@pytest.mark.parametrize(
    ("audio", "video", "label"),
    [
        (NO_SOUND, NO_FACE, Label.NOT_APPLICABLE),
        (
            unexamined("audio", "undecodable", Outcome.FAILED),
            unexamined("video", "undecodable", Outcome.FAILED),
            Label.FAILED,
        ),
        (NO_SOUND, unexamined("video", "internal_error", Outcome.FAILED), Label.FAILED),
        (None, None, Label.FAILED),
    ],
)
def test_with_nothing_to_go_on_there_is_a_typed_answer_and_no_number(audio, video, label):
    verdict = decide(audio, video)

    assert label is verdict.label
    assert verdict.probability is None
    assert verdict.llr is None
    assert verdict.reasons
    assert verdict.next_step


def test_nothing_reassuring_is_said_when_half_of_the_recording_failed():
    verdict = decide(half("audio", -6), unexamined("video", "internal_error", Outcome.FAILED))

    assert Label.INCONCLUSIVE is verdict.label
    assert codes(verdict)[0] == "half_unexamined"


@pytest.mark.parametrize(
    ("left_out", "label"),
    [
        ({"broken_off": 1}, Label.INCONCLUSIVE),
        ({"too_many_faces": 8}, Label.INCONCLUSIVE),
        ({"too_many_faces": 7, "face_too_small": 30}, Label.LIKELY_AUTHENTIC),
    ],
)
def test_nothing_reassuring_is_said_when_much_was_left_out(left_out, label):
    cover = Coverage(faces=30, dropped=left_out)
    verdict = decide(half("audio", -6), half("video", -6, coverage=cover))

    assert verdict.label is label
    assert (codes(verdict)[0] == "half_unexamined") is (label is Label.INCONCLUSIVE)
    told = {"ends_early", "faces_left_out"} & {*codes(verdict)}
    cause = "ends_early" if "broken_off" in left_out else "faces_left_out"
    assert told == ({cause} if label is Label.INCONCLUSIVE else set())


def test_further_tracks_are_told_and_change_no_verdict():
    sound = Coverage(speech_s=20.0, dropped={"other_tracks": 1})
    picture = Coverage(faces=30, dropped={"other_pictures": 2})
    verdict = decide(half("audio", -6, coverage=sound), half("video", -6, coverage=picture))

    assert verdict.label is Label.LIKELY_AUTHENTIC
    assert codes(verdict)[-2:] == ["other_tracks", "other_pictures"]


def test_a_file_that_is_damaged_is_not_called_a_technical_problem():
    verdict = decide(*(unexamined(m, "undecodable", Outcome.FAILED) for m in ("audio", "video")))

    assert codes(verdict) == ["file_damaged"]


@pytest.mark.parametrize(
    ("probability", "label"), [(0.75, Label.LIKELY_AUTHENTIC), (0.85, Label.INCONCLUSIVE)]
)
def test_nothing_reassuring_is_said_when_the_faces_of_a_part_stand_out(probability, label):
    points = [0.3] * 8 + [probability, probability]
    timeline = tuple(
        TimelinePoint(start_s=4 * n, end_s=4 * n + 4, probability=one)
        for n, one in enumerate(points)
    )
    verdict = decide(half("audio", -6), half("video", -1, timeline=timeline))

    assert verdict.label is label
    if label is Label.INCONCLUSIVE:
        reason = verdict.reasons[0]
        assert (reason.code, reason.start_s, reason.end_s) == ("picture_local_signs", 32, 40)
        assert "picture_no_signs" not in codes(verdict)


@pytest.mark.parametrize(("seen_s", "is_reason"), [(4.0, False), (12.0, True)])
def test_a_few_seconds_of_a_mouth_accuse_nobody(monkeypatch, seen_s, is_reason):
    found = crossmodal.Agreement(
        near=-0.2,
        far=0.6,
        offset_s=0.9,
        drift_s=None,
        voiced_s=4.0,
        samples=round(seen_s * RATE_HZ),
    )
    monkeypatch.setattr(crossmodal, "compare", lambda *_: found)
    verdict = decide(half("audio", -1), half("video", -1))

    assert ("sync_late" in codes(verdict)) is is_reason


def seen(*spans):
    """Persons who are there from one second to another, in so many frames."""
    return tuple(
        Person(person=n, start_s=start, end_s=end, frames=frames, llr=-1, probability=0.1)
        for n, (start, end, frames) in enumerate(spans)
    )


@pytest.mark.parametrize(
    ("persons", "accused"),
    [
        (seen((0, 12, 30)), True),
        (seen((0, 12, 30), (1, 11, 20)), False),
        (seen((0, 12, 30), (2, 3, 4)), True),
        (seen((0, 5, 15), (6, 12, 15)), True),
    ],
    ids=["alone", "two talk", "one walks by", "a track is lost and begins again"],
)
def test_who_may_be_listening_to_another_is_not_accused(monkeypatch, persons, accused):
    found = crossmodal.Agreement(
        near=-0.5, far=0.1, offset_s=0.9, drift_s=None, voiced_s=9.0, samples=300
    )
    monkeypatch.setattr(crossmodal, "compare", lambda *_: found)
    verdict = decide(half("audio", -1), half("video", -1, persons=persons))

    assert ("sync_mismatch" in codes(verdict)) is accused


def test_a_clear_offset_counts_whoever_else_is_seen(monkeypatch):
    found = crossmodal.Agreement(
        near=-0.2, far=0.6, offset_s=0.9, drift_s=None, voiced_s=9.0, samples=300
    )
    monkeypatch.setattr(crossmodal, "compare", lambda *_: found)
    verdict = decide(half("audio", -1), half("video", -1, persons=seen((0, 12, 30), (0, 12, 30))))

    assert "sync_late" in codes(verdict)


def test_a_face_that_counts_is_named_however_long_another_is_seen():
    anchor, guest = seen((0, 300, 300), (60, 70, 9))
    guest = guest.model_copy(update={"llr": 5})

    signs = decide(NO_SOUND, half("video", 4.3, persons=(anchor, guest))).reasons[0]

    assert signs.person == guest.person


def test_a_frozen_picture_is_not_told_as_a_changed_order():
    verdict = decide(half("audio", -1), half("video", -1, findings=(FROZEN,)))

    assert "sequence_frozen" in codes(verdict)
    assert "sequence_findings" not in codes(verdict)


def test_of_several_faces_the_one_with_signs_is_named():
    one, other, passer = seen((0, 12, 30), (0, 12, 20), (3, 4, 2))
    other, passer = other.model_copy(update={"llr": 5}), passer.model_copy(update={"llr": 9})
    alone = decide(NO_SOUND, half("video", 5, persons=(other,))).reasons[0]
    named = decide(NO_SOUND, half("video", 5, persons=(one, other, passer))).reasons[0]

    assert alone.text.startswith("The face has strong signs")
    assert named.text.startswith("Face 2 has strong signs")
    assert reasons.text(alone, "ko").startswith("얼굴을 컴퓨터로")
    assert reasons.text(named, "ko").startswith("2번 얼굴을 컴퓨터로")


@pytest.mark.parametrize(
    ("at_s", "en", "ko"),
    [
        ([2], ", at 0:02", "(0:02 부근)"),
        ([2, 7], ", at 0:02 and 0:07", "(0:02, 0:07 부근)"),
        (
            [2, 2.4, 7, 9, 64, 70],
            ", at 0:02, 0:07, 0:09 and 2 more",
            "(0:02, 0:07, 0:09 등 5곳)",
        ),
    ],
)
def test_missing_pictures_are_told_with_their_places_and_an_everyday_cause(at_s, en, ko):
    cuts = tuple(
        Finding(type="deleted_frames", start_s=at - 0.2, end_s=at + 0.2, detail="", strength=1.0)
        for at in at_s
    )
    verdict = decide(half("audio", -1), half("video", -1, findings=cuts))

    assert verdict.label is Label.INCONCLUSIVE
    assert codes(verdict)[0] == "sequence_removed"
    reason = verdict.reasons[0]
    assert f"{en}, as where" in reason.text
    assert "ordinary editing does that, too" in reason.text
    assert ko in reasons.text(reason, "ko")


def test_a_place_where_pictures_are_hardly_missing_is_no_reason():
    cut = Finding(type="deleted_frames", start_s=2, end_s=2.1, detail="", strength=0.4)
    verdict = decide(half("audio", -1), half("video", -1, findings=(cut,)))

    assert verdict.label is Label.LIKELY_AUTHENTIC
    assert "sequence_removed" not in codes(verdict)


def test_nothing_reassuring_is_said_when_a_part_of_the_speech_stands_out():
    finding = Finding(
        type="synthetic_speech", start_s=8, end_s=12, detail="2 windows", strength=0.9
    )
    verdict = decide(half("audio", -6, findings=(finding,)), half("video", -6))

    assert verdict.label is Label.INCONCLUSIVE
    assert codes(verdict)[0] == "voice_local_signs"
    assert "0:08" in verdict.reasons[0].text


@pytest.mark.parametrize(("speech_s", "told"), [(0.0, "no_speech"), (0.224, "hardly_any_speech")])
def test_who_was_heard_for_a_moment_is_not_said_to_be_silent(speech_s, told):
    heard = unexamined("audio", "no_speech")
    heard = heard.model_copy(update={"coverage": Coverage(speech_s=speech_s)})

    assert told in codes(decide(heard, half("video", 1)))


def test_strong_evidence_counts_even_when_the_other_half_failed():
    verdict = decide(half("audio", 6), None)

    assert Label.LIKELY_MANIPULATED is verdict.label
    assert "picture_failed" in codes(verdict)


@pytest.mark.parametrize(("high", "is_open"), [(-0.5, False), (0.5, True)])
def test_a_reassuring_verdict_says_when_manipulation_is_not_ruled_out(high, is_open):
    verdict = decide(half("audio", -1, llr_interval=(-2, high)), NO_FACE)

    assert verdict.label is Label.LIKELY_AUTHENTIC
    assert (codes(verdict)[0] == "not_ruled_out") is is_open
    assert ("not_ruled_out" in codes(verdict)) is is_open


def test_a_wide_interval_is_inconclusive():
    verdict = decide(half("audio", 2, llr_interval=(-4, 6)), NO_FACE)

    assert Label.INCONCLUSIVE is verdict.label
    assert codes(verdict)[0] == "evidence_straddles"


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (half("audio", 8, coverage=Coverage(speech_s=1.0)), "voice_thin"),
        (half("audio", 8, signals={"out_of_distribution": 1.0}), "voice_unfamiliar"),
    ],
)
def test_thin_or_unfamiliar_evidence_alone_is_inconclusive(audio, code):
    verdict = decide(audio, NO_FACE)

    assert Label.INCONCLUSIVE is verdict.label
    assert "evidence_weak" in codes(verdict)
    assert code in codes(verdict)


@pytest.mark.parametrize("reason", ["no_video_track", "no_face"])
def test_an_order_of_frames_that_nobody_looked_at_takes_nothing_from_a_voice(reason):
    voice = half("audio", 0.2)
    alone = decide(voice, None).probability

    assert decide(voice, unexamined("video", reason)).probability == alone
    looked = PartialResult(
        modality="video",
        outcome=Outcome.NOT_APPLICABLE,
        reason=reason,
        signals={evidence.LOOKED_AT: 1.0},
    )
    assert decide(voice, looked).probability < alone


@pytest.mark.parametrize(
    ("audio", "video"),
    [
        (half("audio", 3, llr_interval=(2.2, 3.4), coverage=Coverage(speech_s=1.0)), NO_FACE),
        (half("audio", -3), half("video", 0, findings=(FROZEN,))),
    ],
)
def test_an_estimate_lies_inside_its_interval(audio, video):
    verdict = decide(audio, video)
    low, high = verdict.interval

    assert low + 0.02 < verdict.probability < high - 0.02


def shown(llr, *spans):
    """Return a video half whose persons are seen in spans of seconds."""
    persons = tuple(
        Person(person=n, start_s=a, end_s=b, frames=15, llr=llr, probability=0.5)
        for n, (a, b) in enumerate(spans)
    )
    return half("video", llr, persons=persons)


@pytest.mark.parametrize("llr", [-6, -0.9, 9])
def test_faces_seen_for_a_moment_alone_neither_reassure_nor_accuse(llr):
    verdict = decide(NO_SOUND, shown(llr, (0.0, 0.28)))

    assert verdict.label is Label.INCONCLUSIVE
    assert {"evidence_weak", "picture_thin"} <= set(codes(verdict))
    assert "picture_no_signs" not in codes(verdict)
    assert verdict.video_probability >= 0.5


def test_faces_seen_for_a_moment_take_nothing_from_a_suspicious_voice():
    voice = half("audio", 3)
    brief, long = (decide(voice, shown(-6, (2.0, end))) for end in (2.5, 4.0))

    assert brief.video_probability == 0.5
    assert long.video_probability < 0.1
    assert brief.llr > long.llr


def test_faces_of_two_people_one_after_the_other_are_seen_as_long_as_both():
    verdict = decide(NO_SOUND, shown(-6, (0.0, 0.6), (0.7, 1.4)))

    assert verdict.label is Label.LIKELY_AUTHENTIC


def test_halves_that_disagree_without_either_being_clear_are_inconclusive():
    verdict = decide(half("audio", 2), half("video", -6))

    assert Label.INCONCLUSIVE is verdict.label
    assert "halves_disagree" in codes(verdict)


def test_halves_that_disagree_are_not_said_to_be_unclear_where_one_has_strong_signs():
    verdict = decide(half("audio", -2.3), half("video", 2))

    assert {"halves_disagree", "picture_strong_signs"} <= set(codes(verdict))
    assert "neither clearly" not in verdict.reasons[0].text


def test_no_half_has_stronger_signs_than_the_whole():
    verdict = decide(half("audio", 2.2), half("video", -1))

    assert verdict.audio_probability > MODEL.bands.manipulated
    assert verdict.label is Label.SUSPICIOUS
    assert codes(verdict)[0] == "voice_signs"


def test_nothing_reassuring_is_said_when_one_half_alone_is_suspicious():
    verdict = decide(half("audio", 0.5), half("video", -2))

    assert verdict.probability < MODEL.bands.authentic
    assert verdict.label is Label.INCONCLUSIVE
    assert codes(verdict)[0] == "halves_disagree"


def test_the_prior_moves_the_probability_and_not_the_evidence():
    rare, even = (decide(half("audio", 2), NO_FACE, prior=prior) for prior in (0.01, 0.5))

    assert rare.llr == even.llr
    assert rare.probability < even.probability
    assert rare.prior == 0.01


def test_reasons_come_in_order_of_weight_with_time_codes():
    timeline = (
        TimelinePoint(start_s=0, end_s=4, probability=0.1),
        TimelinePoint(start_s=4, end_s=8, probability=0.9),
        TimelinePoint(start_s=8, end_s=12, probability=0.8),
    )
    verdict = decide(half("audio", 5, timeline=timeline), half("video", 1))
    weights = [reason.weight for reason in verdict.reasons]
    first = verdict.reasons[0]

    assert all(left >= right for left, right in pairwise(weights))
    assert first.code == "voice_strong_signs"
    assert (first.start_s, first.end_s) == (4, 12)
    assert "0:04" in first.text


DUPLICATE = Finding(type="duplicated_run", start_s=3, end_s=5, detail="48 frames repeat")


def test_findings_in_the_sequence_count_where_no_face_was_found():
    verdict = decide(NO_SOUND, NO_FACE.model_copy(update={"findings": (DUPLICATE,)}))

    assert verdict.label is Label.SUSPICIOUS
    assert verdict.manipulated_part == "sequence"
    assert verdict.modalities_used == ("sequence",)
    assert "0:03" in verdict.reasons[0].text


def test_a_tampered_sequence_is_not_outweighed_by_authentic_halves():
    verdict = decide(half("audio", -4), half("video", -4, findings=(DUPLICATE,)))

    assert verdict.label is Label.SUSPICIOUS
    assert verdict.manipulated_part == "sequence"


def test_findings_that_weigh_less_than_none_are_not_held_against_a_recording():
    gap = DUPLICATE.model_copy(update={"type": "pts_gap"})
    verdict = decide(half("audio", -4), half("video", -4, findings=(gap,)))

    assert verdict.label is Label.LIKELY_AUTHENTIC
    assert "sequence_findings" not in codes(verdict)
    assert "sequence" not in verdict.modalities_used


def test_nothing_reassuring_is_said_beside_a_changed_sequence():
    weak = DUPLICATE.model_copy(update={"strength": 0.6})
    verdict = decide(half("audio", -4), half("video", -4, findings=(weak,)), prior=0.3)

    assert verdict.label is Label.INCONCLUSIVE
    assert codes(verdict)[0] == "sequence_findings"
    assert codes(verdict).count("sequence_findings") == 1


def test_a_faint_change_of_the_sequence_is_no_reason_beside_a_reassuring_verdict():
    faint = DUPLICATE.model_copy(update={"strength": 0.45})
    verdict = decide(half("audio", -4), half("video", -4, findings=(faint,)), prior=0.3)

    assert verdict.label is Label.LIKELY_AUTHENTIC
    assert "sequence" in verdict.modalities_used
    assert "sequence_findings" not in codes(verdict)


def test_a_faint_change_of_the_sequence_is_told_where_it_is_what_is_accused():
    faint = DUPLICATE.model_copy(update={"strength": 0.45})
    verdict = decide(
        NO_SOUND,
        unexamined("video", "no_face").model_copy(update={"findings": (faint,)}),
        prior=0.6,
    )

    assert verdict.manipulated_part == "sequence"
    assert codes(verdict)[0] == "sequence_findings"


@pytest.mark.parametrize("reason", ["undecodable_audio", "undecodable_video"])
def test_nothing_reassuring_is_said_where_a_track_could_not_be_decoded(reason):
    broken = unexamined(reason.removeprefix("undecodable_"), reason)
    halves = (broken, half("video", -6)) if "audio" in reason else (half("audio", -6), broken)

    verdict = decide(*halves)

    assert verdict.label is Label.INCONCLUSIVE
    assert codes(verdict)[0] == "half_unexamined"


def test_halves_that_cross_the_line_together_both_have_signs():
    verdict = decide(half("audio", 0.2), half("video", 0.1))

    assert verdict.label is Label.SUSPICIOUS
    assert verdict.manipulated_part == "both"
    assert codes(verdict)[:2] == ["voice_signs", "picture_signs"]


def test_a_declaration_of_ai_reassures_nobody():
    declared = {"status": "declared_ai", "trusted": "no"}
    broken = unexamined("audio", "internal_error", Outcome.FAILED)
    verdict = decide(broken, half("video", -4), prior=0.02, provenance=declared)

    assert verdict.label is Label.INCONCLUSIVE


def test_two_places_apart_are_not_one_span():
    points = tuple(
        TimelinePoint(start_s=at, end_s=at + 4, probability=0.9) for at in (0, 4, 600, 604)
    )
    verdict = decide(half("audio", 5, timeline=points), NO_FACE)

    assert (verdict.reasons[0].start_s, verdict.reasons[0].end_s) == (0, 8)


def test_all_places_that_stand_out_are_told_and_the_highest_is_where_it_begins_and_ends():
    heights = {0: 0.85, 20: 0.6, 40: 0.95, 60: 0.9, 80: 0.9, 100: 0.9}
    points = tuple(
        TimelinePoint(start_s=at, end_s=at + 4, probability=height)
        for at, height in heights.items()
    )
    two = decide(half("audio", 5, timeline=points[:3]), NO_FACE).reasons[0]
    many = decide(half("audio", 5, timeline=points), NO_FACE).reasons[0]

    assert (two.start_s, two.end_s) == (40, 44)
    assert two.spans_s == ((40, 44), (0, 4))
    assert two.text.endswith("by a computer, from 0:00 to 0:04 and from 0:40 to 0:44.")
    assert reasons.text(two, "ko").endswith("(0:00~0:04, 0:40~0:44).")
    assert many.text.endswith("from 0:40 to 0:44, from 1:00 to 1:04, from 1:20 to 1:24 and 2 more.")
    assert reasons.text(many, "ko").endswith("1:20~1:24 등 5곳).")


def test_the_place_of_a_face_is_one_where_it_is_seen():
    points = [TimelinePoint(start_s=at, end_s=at + 4, probability=0.9) for at in (0, 4)]
    points += [TimelinePoint(start_s=at, end_s=at + 4, probability=0.8) for at in (20, 24)]
    one, other = seen((0, 7.9, 20), (20, 28, 20))
    persons = (one.model_copy(update={"llr": 2}), other.model_copy(update={"llr": 4}))
    reason = decide(NO_SOUND, half("video", 4, persons=persons, timeline=points)).reasons[0]

    assert reason.text.startswith("Face 2 has strong signs")
    assert (reason.start_s, reason.end_s) == (20, 28)


def test_of_several_faces_those_that_stand_out_in_a_part_are_named():
    points = [
        TimelinePoint(start_s=at, end_s=at + 4, probability={8: 0.85, 32: 0.9}.get(at, 0.3))
        for at in range(0, 40, 4)
    ]
    persons = seen((0, 19.9, 20), (20, 30, 20), (30, 40, 20))
    found = decide(half("audio", -6), half("video", -2, persons=persons, timeline=points)).reasons

    assert found[0].text.startswith("Face 3 has signs")
    assert "from 0:32 to 0:36" in found[0].text
    assert found[1].text.startswith("Face 1 has signs")
    assert "from 0:08 to 0:12" in found[1].text
    assert reasons.text(found[0], "ko").startswith("일부 구간에서 3번 얼굴을")


def test_a_part_that_stands_out_comes_before_what_calms_in_a_verdict_that_accuses():
    points = [
        TimelinePoint(start_s=4 * n, end_s=4 * n + 4, probability=one)
        for n, one in enumerate([0.3] * 8 + [0.9])
    ]
    verdict = decide(half("audio", -1), half("video", -0.1, timeline=points, findings=(DUPLICATE,)))

    assert verdict.label is Label.SUSPICIOUS
    assert codes(verdict) == ["sequence_findings", "picture_local_signs", "voice_no_signs"]


def test_a_finding_of_a_kind_without_weight_changes_nothing():
    unknown = DUPLICATE.model_copy(update={"type": "brand_new"})

    assert decide(NO_SOUND, NO_FACE.model_copy(update={"findings": (unknown,)})).probability is None


@pytest.mark.parametrize(
    ("trusted", "label"), [("yes", Label.LIKELY_MANIPULATED), ("no", Label.SUSPICIOUS)]
)
def test_a_declaration_of_ai_decides_as_far_as_its_signer_is_trusted(trusted, label):
    provenance = {"status": "declared_ai", "trusted": trusted}
    verdict = decide(half("audio", -3), NO_FACE, provenance=provenance)

    assert verdict.label is label
    assert verdict.manipulated_part == "declared"
    assert codes(verdict)[0] == "declared_ai"
    assert "provenance" in verdict.modalities_used


def test_what_a_half_carries_of_the_origin_counts_too():
    declared = {"status": "declared_ai", "trusted": "yes"}
    verdict = decide(half("audio", -3), NO_FACE.model_copy(update={"provenance": declared}))

    assert verdict.manipulated_part == "declared"
    assert verdict.provenance == declared


def test_a_signature_without_such_a_declaration_moves_nothing():
    bare = decide(half("audio", 1), NO_FACE)
    signed = decide(half("audio", 1), NO_FACE, provenance={"status": "valid"})

    assert bare.llr == signed.llr
    assert "provenance_valid" in codes(signed)


def test_the_verdict_names_the_parameters_it_was_made_with():
    verdict = decide(half("audio", 1), half("video", 1))

    assert Registry().entry("fusion").ref == verdict.model
