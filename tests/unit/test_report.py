"""The report: complete, in both languages, self-contained, and safe against hostile names."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared import objects
from shared.errors import NotApplicable, ObjectGone, Permanent
from shared.models import Registry
from shared.records import (
    Coverage,
    EvidenceRef,
    Finding,
    Job,
    JobStatus,
    Label,
    Media,
    ModelRef,
    Outcome,
    PartialResult,
    Person,
    TimelinePoint,
    Track,
)
from shared.settings import Settings
from workers import audio, phrases, video
from workers.aggregator import charts, fusion, page, page_words, pictures, report, service
from workers.aggregator.wording import OVERCLAIMS, percent

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
HANGUL = re.compile("[가-힣]")
JPEG = b"\xff\xd8\xff\xe0 a picture"
MODEL = fusion.load(Registry())


def half(modality, llr=3.0, **more):
    timeline = tuple(
        TimelinePoint(start_s=2.0 * n, end_s=2.0 * n + 4, probability=0.1 * n) for n in range(10)
    )
    return PartialResult(
        modality=modality,
        outcome=Outcome.SCORED,
        llr=llr,
        coverage=Coverage(analysed_s=20, speech_s=12, faces=9, dropped={"sparse_windows": 3}),
        timeline=timeline,
        models=(ModelRef(name=f"{modality}-model", version="1", sha256="ab" * 32),),
        **more,
    )


def unexamined(modality, reason):
    return PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason=reason)


def job_of(audio, video, key="uploads/clip.mp4", provenance=None):
    verdict = fusion.decide(
        audio, video, prior=0.5, decided_at=NOW, model=MODEL, provenance=provenance
    )
    tracks = (Track(index=0, kind="video", codec="h264"),)
    return Job(
        job_id="0f" * 16,
        status=JobStatus.COMPLETE,
        bucket="uploads",
        key=key,
        size_bytes=1234,
        sha256="cd" * 32,
        media=Media(container="mp4", duration_s=24, tracks=tracks),
        created_at=NOW,
        updated_at=NOW,
        audio=audio,
        video=video,
        verdict=verdict,
    )


def evidence(count):
    return tuple(
        EvidenceRef(name=f"{n}.jpg", kind="face_crop", start_s=n, probability=n / 20, key=f"e/{n}")
        for n in range(count)
    )


FINDING = Finding(type="duplicated_run", start_s=3, end_s=5, detail="48 frames", strength=0.6)
CASES = {
    "manipulated": job_of(half("audio", 6), half("video", -6)),
    "authentic": job_of(half("audio", -6), half("video", -6)),
    "with findings": job_of(half("audio", 0), half("video", -2, findings=(FINDING,))),
    "nothing": job_of(unexamined("audio", "no_speech"), unexamined("video", "no_face")),
    "half": job_of(half("audio", 2), None),
    "declared": job_of(half("audio"), half("video"), provenance={"status": "declared_ai"}),
    "absent": job_of(half("audio"), half("video"), provenance={"status": "absent"}),
}
EVERY = [(name, language) for name in CASES for language in phrases.LANGUAGES]


def render_json(job):
    return report.render_json(job, Registry())


def render_html(job, language, found):
    return page.render(job, language, found, report.encode(render_json(job)))


def test_the_page_of_another_release_is_shown_without_what_this_one_does_not_know():
    job, told = CASES["manipulated"], render_json(CASES["manipulated"])
    later = {**told, "later": 1, "verdict": {**told["verdict"], "later": 2}}

    assert "<h1" in page.render(job, "en", {}, report.encode(later))


class Page(HTMLParser):
    """Collects what a browser would show, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.shown, self._hidden = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._hidden = tag == "style"
        names = ("src", "href", "srcset", "action", "data")
        self.links += [value for name, value in attributes if name in names]

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden and data.strip():
            self.shown.append(data.strip())

    @property
    def text(self):
        return " ".join(self.shown)


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_a_page_fetches_nothing_and_runs_nothing(name, language):
    page = Page(render_html(CASES[name], language, {}))

    assert all(link.startswith("data:") for link in page.links)
    assert not {"script", "iframe", "link", "form", "object"} & set(page.tags)


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_a_page_never_overclaims(name, language):
    shown = Page(render_html(CASES[name], language, {})).text

    assert OVERCLAIMS.search(shown) is None


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_a_page_says_the_verdict_its_reasons_and_the_next_step(name, language):
    job = CASES[name]
    shown = Page(render_html(job, language, {})).text
    text = render_json(job)["text"][language]

    assert text["headline"] in shown
    assert text["next_step"] in shown
    assert all(reason in shown for reason in text["reasons"])
    assert all(limit in shown for limit in text["limits"])
    assert (HANGUL.search(shown) is not None) == (language == "ko")


def test_a_page_names_hashes_models_and_what_was_left_out():
    shown = Page(render_html(CASES["manipulated"], "en", {})).text

    for fact in ("cd" * 32, "ab" * 32, MODEL.model_ref.sha256, "audio-model"):
        assert fact in shown
    assert "Left out: pieces with too little speech 3" in shown


@pytest.mark.parametrize(("language", "has_detail"), [("en", True), ("ko", False)])
def test_what_was_noticed_is_told_in_one_language_and_a_moment_with_one_time(language, has_detail):
    short = FINDING.model_copy(update={"start_s": 33.1, "end_s": 33.5})
    job = job_of(half("audio"), half("video", findings=(short,)))
    page = Page(render_html(job, language, {})).text

    assert ("48 frames" in page) is has_detail
    assert ", 0:33 · " in page


def test_a_voice_with_signs_is_named_beside_another_part_that_is_accused():
    cut = FINDING.model_copy(update={"strength": 1.0})
    for llr, told in ((1, True), (-6, False)):
        job = job_of(half("audio", llr), half("video", -2, findings=(cut,)))
        page = Page(render_html(job, "en", {})).text

        assert job.verdict.manipulated_part == "sequence"
        assert ("repeated or moved. The voice has signs, too." in page) is told
    both = Page(render_html(job_of(half("audio", 6), half("video", 6)), "en", {})).text
    assert "has signs, too" not in both


def test_a_face_that_stands_out_in_a_part_is_named_beside_another_part_that_is_accused():
    cut = FINDING.model_copy(update={"strength": 1.0})
    job = job_of(half("audio", -1), half("video", -0.1, findings=(cut,)))
    wording = render_json(job)["text"]

    assert job.verdict.manipulated_part == "sequence"
    assert wording["en"]["part"].endswith("repeated or moved. The face has signs, too.")
    assert wording["ko"]["part"].endswith("얼굴에도 의심되는 점이 있습니다.")


def test_markup_in_a_file_name_is_text():
    job = job_of(half("audio"), None, key="uploads/<script>alert(1)</script><img src=x>.mp4")
    page = Page(render_html(job, "en", {}))

    assert not {"script", "img"} & set(page.tags)
    assert "img src=x" in page.text


def test_a_name_that_turns_the_direction_of_writing_does_not_turn_the_page():
    job = job_of(half("audio", 6), half("video", -6), key="uploads/photo\u202e4pm.exe")

    page = render_html(job, "en", {})

    assert "\u202e" not in page
    assert "<bdi>photo\ufffd4pm.exe</bdi>" in page


@pytest.mark.parametrize(
    ("status", "trusted", "told"),
    [
        ("valid", "yes", "(signed by Maker)"),
        ("valid", "no", "Maker”, for which nobody vouches"),
        ("invalid", "no", None),
    ],
)
def test_the_page_does_not_vouch_for_who_says_to_have_signed(status, trusted, told):
    note = {"status": status, "trusted": trusted, "issuer": "Maker"}
    job = job_of(half("audio", 6), half("video", -6), provenance=note)
    page = render_html(job, "en", {})

    assert (told or "") in page
    assert ("Maker" in page) is bool(told)


def test_pictures_are_embedded_and_counted():
    job = job_of(half("audio"), half("video", evidence=evidence(15)))
    fetched = pictures.gather(job, lambda _: JPEG)
    page = Page(render_html(job, "en", fetched))

    assert len(fetched) == pictures.MAX_PICTURES
    assert page.tags.count("img") == pictures.MAX_PICTURES
    assert f"({pictures.MAX_PICTURES} / 15)" in page.text


def test_of_many_people_those_seen_longest_and_those_with_most_signs_are_listed():
    crowd = tuple(
        Person(person=n, start_s=n, end_s=n + 1, frames=1 + n % 10, llr=n % 7, probability=0.5)
        for n in range(50)
    )
    page = render_html(job_of(half("audio"), half("video", persons=crowd)), "en", {})

    assert "and those that look most manipulated. (8 / 50)" in page
    listed = [int(number) for number in re.findall(r"<li>Face (\d+) \(", page)]
    assert listed == [7, 10, 14, 20, 21, 28, 30, 40]


@pytest.mark.parametrize(("analysed_s", "told"), [(2560.0, "6.3"), (8.0, "0.3"), (0.3, "0.1")])
def test_how_far_apart_the_pictures_were_that_were_looked_at_is_told(analysed_s, told):
    frames = 404 if analysed_s > 8 else 25
    looked = Coverage(analysed_s=analysed_s, faces=9, frames_sampled=frames)
    text = render_json(job_of(half("audio"), half("video").model_copy(update={"coverage": looked})))

    for language, words in (("en", f"one every {told} s."), ("ko", f"약 {told}초마다")):
        assert any(words in item for item in text["text"][language]["not_examined"])


@pytest.mark.parametrize(("language", "told"), [("en", "Face 2 · 0:00"), ("ko", "2번 얼굴 · 0:00")])
@pytest.mark.parametrize("count", [1, 2])
def test_pictures_say_whose_face_they_show_where_there_are_several(count, language, told):
    persons = tuple(
        Person(person=n, start_s=0, end_s=9, frames=9, llr=0, probability=0.5) for n in range(count)
    )
    of_second = tuple(ref.model_copy(update={"person": 1}) for ref in evidence(1))
    job = job_of(half("audio"), half("video", persons=persons, evidence=of_second))
    page = render_html(job, language, pictures.gather(job, lambda _: JPEG))

    assert (f"<figcaption>{told}" in page) is (count > 1)


def test_pictures_that_are_gone_are_left_out_and_counted():
    def fetch(key):
        if key == "e/1":
            raise ObjectGone
        return JPEG

    job = job_of(half("audio"), half("video", evidence=evidence(3)))
    page = Page(render_html(job, "en", pictures.gather(job, fetch)))

    assert page.tags.count("img") == 2
    assert "(2 / 3)" in page.text


SOUND = EvidenceRef(name="spectrogram.jpg", kind="spectrogram", start_s=0, end_s=12, key="e/s")


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "pitch from 0 to 8 kHz; marked: 0:16–0:22"), ("ko", "표시한 구간: 0:16–0:22")],
)
def test_the_sound_is_drawn_with_its_suspicious_stretch_marked(language, told):
    job = job_of(half("audio", evidence=(SOUND,)), half("video", evidence=evidence(2)))
    fetched = pictures.gather(job, lambda _: JPEG)
    text = render_html(job, language, fetched)

    assert set(fetched) == {"spectrogram.jpg", "0.jpg", "1.jpg"}
    assert told in re.search('<div class="sound".*?<img [^>]*alt="([^"]*)"', text, re.DOTALL)[1]
    assert "--wide:50.0%" in text, "it ends in the middle of 24 s"
    assert re.findall(r'<rect x="(\S+)" y="0" width="(\S+)"', text) == [("666.7", "250.0")]
    assert "(2 / 2)" in text, "it is none of the pictures behind the face"


@pytest.mark.parametrize("language", phrases.LANGUAGES)
def test_a_page_without_sound_has_no_picture_of_it(language):
    words = page_words.words(language)
    gone = job_of(half("audio", evidence=(SOUND,)), None)
    for job in (gone, job_of(unexamined("audio", "no_audio_track"), half("video"))):
        shown = Page(render_html(job, language, {}))
        assert "img" not in shown.tags
        assert words["sound_help"] not in shown.text


def test_a_sound_in_which_nothing_is_suspicious_says_so():
    calm = half("audio", -6).model_copy(update={"timeline": half("audio").timeline[:5]})
    job = job_of(calm.model_copy(update={"evidence": (SOUND,)}), half("video", -6))
    text = render_html(job, "en", {"spectrogram.jpg": JPEG})

    assert "No stretch of it is marked." in text
    assert "marked: none" in text


def test_evidence_that_is_no_picture_is_not_embedded():
    job = job_of(half("audio"), half("video", evidence=evidence(1)))
    page = Page(render_html(job, "en", {"0.jpg": b"<svg onload=alert(1)>"}))

    assert "img" not in page.tags


@pytest.mark.parametrize("name", CASES)
def test_the_document_fits_the_published_schema(name):
    schema = json.loads(Path(report.__file__).with_name("report.schema.json").read_text())
    body = json.loads(report.encode(render_json(CASES[name])))

    Draft202012Validator(schema).validate(body)
    assert report.Report.model_validate(body).verdict == CASES[name].verdict


def test_the_published_schema_is_that_of_the_records():
    published = json.loads(Path(report.__file__).with_name("report.schema.json").read_text())

    assert published == report.schema()


def test_the_same_job_gives_the_same_bytes():
    first, second = (report.encode(render_json(CASES["manipulated"])) for _ in range(2))

    assert first == second


def test_a_licence_is_only_told_of_the_very_file_in_the_registry():
    models = {model["name"]: model for model in render_json(CASES["half"])["models"]}

    assert models["fusion"]["licence"] == "MIT"
    assert models["audio-model"]["licence"] is None


def test_a_stored_report_tells_the_licences_of_the_models_in_use(write_set, tmp_path, monkeypatch):
    listed = write_set(tmp_path, 0.0) / "models.toml"
    listed.write_text(re.sub("(?m)^licence = .*", 'licence = "Ours"', listed.read_text()))
    entry = Registry(tmp_path).entry("voice-detector")
    voice = half("audio").model_copy(update={"models": (entry.ref,)})
    stored = []
    monkeypatch.setattr(objects, "put_report", lambda *told: stored.append(told))

    service.write_report(Settings(models_dir=tmp_path), job_of(voice, half("video")))

    models = {model["name"]: model for model in json.loads(stored[0][2])["models"]}
    assert models["voice-detector"]["licence"] == "Ours"


@pytest.mark.parametrize("render", [render_json, lambda job: render_html(job, "en", {})])
def test_a_job_without_a_verdict_has_no_report(render):
    with pytest.raises(Permanent, match="no verdict"):
        render(CASES["half"].model_copy(update={"verdict": None}))


@pytest.mark.parametrize(("probability", "shown"), [(0.0, 1), (0.004, 1), (0.5, 50), (1.0, 99)])
def test_no_percentage_claims_certainty(probability, shown):
    assert percent(probability) == shown


@pytest.mark.parametrize(("name", "text"), [*page_words.table().items(), *phrases.table().items()])
def test_every_phrase_is_in_both_languages_with_the_same_blanks(name, text):
    blanks = [sorted(set(re.findall(r"{\w+}", text[language]))) for language in ("en", "ko")]

    assert blanks[0] == blanks[1]
    assert HANGUL.search(text["ko"])


LEFT_OUT = {"broken_off": 1, "other_tracks": 1, "other_pictures": 2, "too_many_faces": 50}


@pytest.mark.parametrize("language", phrases.LANGUAGES)
def test_what_was_not_examined_fits_the_recording(language):
    words = page_words.words(language)
    words["omitted_between"] = words["omitted_between"].format(n="2.0")
    sound = job_of(half("audio"), unexamined("video", "no_video_track"))
    cover = Coverage(analysed_s=50.0, frames_sampled=25, dropped=LEFT_OUT)
    cut = half("video").model_copy(update={"coverage": cover})
    silent = job_of(unexamined("audio", "no_audio_track"), cut)

    def told(job):
        listed = render_json(job)["text"][language]["not_examined"]
        return [next(name for name, text in words.items() if text == item) for item in listed]

    assert told(sound) == ["omitted_heard", "omitted_words"]
    left_out = [f"omitted_{cause}" for cause in LEFT_OUT]
    assert told(silent) == [*left_out, "omitted_between", "omitted_seen", "omitted_words"]


@pytest.mark.parametrize("voice", [half("audio", llr) for llr in (-6, 0.3, 6)])
def test_no_sound_recording_is_called_a_video(voice):
    job = job_of(voice, unexamined("video", "no_video_track"))

    assert "영상" not in Page(render_html(job, "ko", {})).text


def test_of_a_half_without_a_score_nothing_is_said_to_be_scored():
    heard = Coverage(analysed_s=0.3, speech_s=0.2, windows=1)
    looked = Coverage(analysed_s=0.3, frames_sampled=8, faces=2)
    audio = unexamined("audio", "no_speech").model_copy(update={"coverage": heard})
    video = unexamined("video", "too_few_frames").model_copy(update={"coverage": looked})
    page = Page(render_html(job_of(audio, video), "en", {})).text

    assert "Speech heard 0.2 s" in page
    assert "Pictures looked at 8" in page
    assert "scored 1" not in page
    assert "scored 2" not in page


@pytest.mark.parametrize(
    ("length_s", "en", "ko"),
    [
        (39.9, "39.9 s of 40.0 s", "전체 40.0초 중 39.9초"),
        (2560, "42:40 of 42:40", "전체 42:40 중 42:40"),
    ],
)
def test_what_was_examined_of_a_long_recording_is_told_as_players_do(length_s, en, ko):
    cover = Coverage(analysed_s=length_s, speech_s=length_s / 2)
    job = job_of(half("audio").model_copy(update={"coverage": cover}), None)
    media = Media(container="mov", duration_s=round(length_s))
    job = job.model_copy(update={"media": media})

    assert f"Length examined {en}" in Page(render_html(job, "en", {})).text
    assert f"분석한 길이 {ko}" in Page(render_html(job, "ko", {})).text


def test_of_a_recording_without_a_picture_no_length_of_it_was_examined():
    job = job_of(half("audio"), unexamined("video", "no_video_track"))
    page = Page(render_html(job, "en", {}))

    assert " 0.0 s of" not in page.text


def test_what_analyses_leave_out_has_a_phrase():
    named = re.compile(r'dropped\["(\w+)"\]')
    sources = [*Path(audio.__path__[0]).glob("*.py"), *Path(video.__path__[0]).glob("*.py")]
    codes = {code for path in sources for code in named.findall(path.read_text())}

    assert "mouth_still" in codes
    assert codes <= phrases.table().keys()


def test_every_phrase_has_its_code_in_a_detector():
    sources = [*Path(audio.__path__[0]).glob("*.py"), *Path(video.__path__[0]).glob("*.py")]
    named = {word for path in sources for word in re.findall(r'"(\w+)"', path.read_text())}
    typed = {kind.code for kind in NotApplicable.__subclasses__()}

    assert phrases.table().keys() <= named | typed


def test_unknown_codes_read_as_words():
    assert phrases.of_code("brand_new_thing", "ko") == "brand new thing"


def test_the_axis_of_a_short_recording_tells_no_time_twice():
    ticks = charts.timeline(CASES["manipulated"].verdict, 24).ticks
    short = charts._ticks(2.5)

    assert len(set(ticks)) == len(ticks)
    assert short == ("0:00.0", "0:00.6", "0:01.2", "0:01.9", "0:02.5")
    assert charts._ticks(0.3) == ("0:00.00", "0:00.07", "0:00.15", "0:00.22", "0:00.30")


@pytest.mark.parametrize(("length_s", "told"), [(0.32, "0.3 s"), (9.4, "9.4 s"), (64.0, "1:04")])
def test_the_length_of_a_short_recording_has_tenths(length_s, told):
    media = CASES["half"].media.model_copy(update={"container": "mov", "duration_s": length_s})
    page = Page(render_html(CASES["half"].model_copy(update={"media": media}), "en", {}))

    assert f"Format MP4 / MOV · h264 Length {told}" in page.text


def test_a_timeline_lies_inside_its_drawing():
    chart = charts.timeline(CASES["manipulated"].verdict, 24)

    assert [row.name for row in chart.rows] == ["voice", "picture"]
    assert chart.ticks[0] == "0:00"
    assert chart.ticks[-1] == "0:24"
    for row in chart.rows:
        assert row.bars
        for bar in row.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= charts.WIDTH
            assert 0 < bar.height <= charts.HEIGHT


def test_without_any_timeline_there_is_no_drawing():
    assert charts.timeline(CASES["nothing"].verdict, 24) is None


def test_all_labels_have_a_mark():
    assert set(page._MARKS) == set(Label)
