"""A second set of models scores beside the first, is compared with it, and harms nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared import cache, shadow
from shared.errors import ModelCorrupt, Undecodable
from shared.models import Registry
from shared.probing import probe
from shared.records import Analysis, Job, JobStatus, Label, ModelRef, Outcome, PartialResult
from shared.settings import Settings
from shared.telemetry import SHADOW_HALVES
from workers import show
from workers.aggregator import fusion, page, report
from workers.aggregator.shadow import compare
from workers.audio import pipeline as audio
from workers.samples import SAMPLES

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MODEL = fusion.load(Registry())
NEXT = "9.9.9"


def refs(version):
    return (ModelRef(name="voice-detector", version=version, sha256=version * 8),)


def half(modality="audio", llr=3.0, version="1", **more):
    return PartialResult(
        modality=modality, outcome=Outcome.SCORED, llr=llr, models=refs(version), **more
    )


def analysis(result):
    return lambda *_: Analysis(result)


def with_shadow(modality, llr, other, version="2"):
    first, second = half(modality, llr), half(modality, other, version)
    both = shadow.beside(modality, analysis(first), analysis(second))
    return both(Path("unused"), None).result


def job(voice, face, **more):
    when = {"created_at": NOW, "updated_at": NOW}
    where = {"job_id": "0f" * 16, "bucket": "b", "key": "uploads/a", "status": JobStatus.COMPLETE}
    return Job(**where, **when, audio=voice, video=face, **more)


def verdict(voice, face):
    return fusion.decide(voice, face, prior=0.5, decided_at=NOW, model=MODEL)


def counted(outcome):
    return SHADOW_HALVES.labels("audio", outcome)._value.get()


def test_a_second_set_lies_over_the_first(tmp_path, write_set):
    settings = Settings(shadow_models_dir=write_set(tmp_path, 0.0))

    found = shadow.registry(settings)

    assert found.own == {"voice-detector"}
    assert found.entry("voice-detector").version == NEXT
    assert found.entry("face-finder") == Registry().entry("face-finder")
    assert found.verify("face-finder") == Registry().verify("face-finder")
    assert found.digest != Registry().digest


def test_a_second_set_is_verified_as_the_first(tmp_path, write_set):
    found = shadow.registry(Settings(shadow_models_dir=write_set(tmp_path, 0.0)))
    (tmp_path / found.entry("voice-detector").file).unlink()
    (tmp_path / found.entry("voice-detector").file).write_bytes(b"another")

    with pytest.raises(ModelCorrupt):
        found.verify("voice-detector")


def test_a_real_recording_is_scored_by_both_sets(tmp_path, write_set):
    settings = Settings(shadow_models_dir=write_set(tmp_path, 3.0), device="cpu")
    second = shadow.load(settings, "audio", audio.load)

    def by(detector):
        return lambda path, media: Analysis(audio.analyze(path, media, detector))

    first = by(audio.load(Registry(device="cpu")))
    result = shadow.beside("audio", first, by(second))(SAMPLES[0], probe(SAMPLES[0])).result

    alone = first(SAMPLES[0], probe(SAMPLES[0])).result
    assert result.model_copy(update={"shadow": None}) == alone, "the real half is untouched"
    assert result.shadow.llr > result.llr
    assert next(ref.version for ref in result.shadow.models) == NEXT
    assert result.shadow.took_ms > 0
    assert "shadow" not in result.timings_ms


def test_a_half_that_the_second_set_has_nothing_for_is_not_scored_twice(tmp_path, write_set):
    settings = Settings(shadow_models_dir=write_set(tmp_path, 0.0))

    assert shadow.load(settings, "video", lambda _: pytest.fail("nothing to load")) is None
    assert shadow.load(Settings(), "audio", lambda _: pytest.fail("no second set")) is None
    one = analysis(half())
    assert shadow.beside("audio", one, None) is one


def test_a_set_that_cannot_be_loaded_is_counted_and_leaves_the_half_alone(tmp_path):
    before = counted("not_loaded")
    empty = Settings(shadow_models_dir=tmp_path)

    assert shadow.load(empty, "audio", audio.load) is None

    assert counted("not_loaded") == before + 1
    assert cache.made_by(empty) == cache.made_by(Settings())


@pytest.mark.parametrize("error", [Undecodable("no"), ValueError("a bad network"), MemoryError()])
def test_a_second_analysis_that_fails_is_counted_and_harms_nothing(error):
    def broken(*_):
        raise error

    before = counted("failed")
    result = shadow.beside("audio", analysis(half()), broken)(Path("unused"), None).result

    assert result == half()
    assert counted("failed") == before + 1


def test_a_fault_of_the_first_analysis_is_not_hidden():
    def broken(*_):
        raise Undecodable("no")

    with pytest.raises(Undecodable):
        shadow.beside("audio", broken, analysis(half()))(Path("unused"), None)


def test_a_label_flip_is_reported_and_decides_nothing():
    voice, face = with_shadow("audio", -3.0, 6.0), half("video", -3.0)
    stands = verdict(voice, face)

    found = compare(job(voice, face), stands, MODEL)

    assert stands == verdict(half("audio", -3.0), face)
    assert stands.label is Label.LIKELY_AUTHENTIC
    assert (found.label, found.flip) == (Label.LIKELY_MANIPULATED, True)
    expected = verdict(half("audio", 6.0), face)
    assert (found.llr, found.probability) == (expected.llr, expected.probability)
    assert [ref.version for ref in found.models] == ["2", "1"], "the face counts as it is"


def test_the_same_label_is_no_flip_and_no_second_set_no_comparison():
    voice, face = with_shadow("audio", -3.0, -2.9), half("video", -3.0)

    assert compare(job(voice, face), verdict(voice, face), MODEL).flip is False
    assert compare(job(half(), face), verdict(half(), face), MODEL) is None
    assert compare(job(None, None), verdict(None, None), MODEL) is None


def test_the_report_and_the_list_of_jobs_say_what_the_second_set_says(capsys):
    voice, face = with_shadow("audio", -3.0, 6.0), half("video", -3.0)
    stands = verdict(voice, face)
    found = compare(job(voice, face), stands, MODEL)
    decided = job(voice, face, verdict=stands.model_copy(update={"shadow": found}))

    body = report.render_json(decided, Registry())
    show.job(show.Console(width=200), decided)

    assert body["verdict"]["shadow"]["flip"] is True
    assert body["audio"]["shadow"]["models"][0]["version"] == "2"
    printed = capsys.readouterr().out
    assert "shadow models: likely_manipulated" in printed
    assert "another label (voice-detector 2, voice-detector 1)" in printed
    shown = page.render(decided, "en", {}, report.encode(body))
    assert "second" not in shown, "readers see one verdict"


def test_halves_of_different_model_versions_are_decided_on_what_each_says():
    old, new = half("audio", 2.0, "1"), half("video", -1.0, "2")

    mixed = verdict(old, new)

    assert mixed == verdict(half("audio", 2.0, "2"), new)
    body = report.render_json(job(old, new, verdict=mixed), Registry())
    assert [row["version"] for row in body["models"]][:2] == ["1", "2"]


def test_an_analysis_that_is_repeated_says_what_other_models_changed(capsys):
    before, after = half("audio", -3.0, "1"), half("audio", 6.0, "2")
    face = half("video", -3.0)
    first = job(before, face, verdict=verdict(before, face))
    second = job(after, face, verdict=verdict(after, face), superseded=(first.as_superseded(),))

    show.job(show.Console(width=200), second)

    assert "likely_authentic became likely_manipulated" in capsys.readouterr().out
    same = show.comparison(first.as_superseded(), first.as_superseded())
    assert same == "the label stayed likely_authentic; by the same models"


def test_the_key_of_remembered_results_holds_both_sets(tmp_path, write_set):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = Settings(shadow_models_dir=write_set(tmp_path / "one", 0.0))
    two = Settings(shadow_models_dir=write_set(tmp_path / "two", 1.0))

    assert len({cache.made_by(settings) for settings in (Settings(), one, two)}) == 3


def test_results_of_another_sampling_are_not_remembered():
    ways = ({}, {"sample_rate": 7}, {"max_frames": 9}, {"sequence_s": 0})

    assert len({cache.made_by(Settings(**way)) for way in ways}) == len(ways)
