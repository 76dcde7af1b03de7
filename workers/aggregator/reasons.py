"""The registry of reason codes: each with its text in English and Korean, and when it arises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.records import Reason
from workers.phrases import Language


@dataclass(frozen=True)
class Entry:
    """One reason code.

    Attributes:
        en: English text; `{at}` becomes the time span, or nothing; `{offset}` seconds; `{face}`
            whose face it is, where there are several.
        ko: Korean text, alike.
        when: The condition under which a verdict carries the code.
    """

    en: str
    ko: str
    when: str


#: Places that a reason names; of the others it gives the number.
_PLACES_NAMED = 3

_ENTRIES: dict[str, tuple[str, str, str]] = {
    # --- the voice -------------------------------------------------------------------------------
    "voice_strong_signs": (
        "The voice has strong signs of having been made or changed by a computer{at}.",
        "목소리를 컴퓨터로 만들었거나 바꾼 흔적이 뚜렷합니다{at}.",
        "The voice alone reaches the band `likely_manipulated`.",
    ),
    "voice_signs": (
        "The voice has some signs of having been made or changed by a computer{at}.",
        "목소리를 컴퓨터로 만들었거나 바꾼 것으로 의심되는 점이 있습니다{at}.",
        "The voice reaches the band `half`, or with the face `suspicious`.",
    ),
    "voice_no_signs": (
        "The voice shows no clear signs of having been made by a computer.",
        "목소리에서는 컴퓨터로 만든 뚜렷한 흔적을 찾지 못했습니다.",
        "The voice alone lies in the band `likely_authentic`.",
    ),
    "voice_unclear": (
        "The voice gives no clear answer either way.",
        "목소리만으로는 어느 쪽인지 분명하지 않습니다.",
        "The voice alone lies between the bands.",
    ),
    "voice_local_signs": (
        "A part of the speech has signs of having been made by a computer{at}.",
        "말소리 일부에 컴퓨터로 만든 듯한 흔적이 있습니다{at}.",
        "The audio half located synthetic speech in a recording that looks authentic as a whole.",
    ),
    "picture_local_signs": (
        (
            "{face} has signs of having been made or changed by a computer in a part of the "
            "recording{at}."
        ),
        "일부 구간에서 {face}을 컴퓨터로 만들었거나 바꾼 듯한 흔적이 있습니다{at}.",
        "Faces score high for more than a look in a recording that looks authentic as a whole.",
    ),
    "voice_thin": (
        "There is little speech, so little is made of the voice.",
        "말하는 부분이 짧아 목소리 분석 결과는 조금만 반영했습니다.",
        "Less speech than the model's gate `min_speech_s`.",
    ),
    "voice_unfamiliar": (
        "The sound is unlike anything the detector was tested on, so little is made of the voice.",
        "검증해 본 적이 없는 종류의 소리여서 목소리 분석 결과는 조금만 반영했습니다.",
        "The audio half says that its input is out of distribution.",
    ),
    "voice_not_examined": (
        "The voice could not be examined.",
        "목소리는 분석하지 못했습니다.",
        "The audio half has no score, for a cause that has no text of its own.",
    ),
    "voice_failed": (
        "The voice could not be examined because of a technical problem.",
        "기술적인 문제로 목소리를 분석하지 못했습니다.",
        "The audio half failed, or never arrived.",
    ),
    "no_audio_track": (
        "The recording has no sound, so there is no voice to examine.",
        "소리가 없는 영상이어서 목소리는 분석하지 않았습니다.",
        "The file has no sound track.",
    ),
    "undecodable_audio": (
        "The sound could not be read, so the voice was not examined.",
        "소리를 읽을 수 없어 목소리를 분석하지 못했습니다.",
        "No sound track could be decoded.",
    ),
    "no_speech": (
        "Nobody was heard speaking, so there is no voice to examine.",
        "말하는 소리가 없어 목소리는 분석하지 않았습니다.",
        "No speech was found in the sound.",
    ),
    "hardly_any_speech": (
        "Hardly any speech was heard, so there is no voice to examine.",
        "말소리가 거의 없어 목소리는 분석하지 않았습니다.",
        "As `no_speech`, where there was a trace of it.",
    ),
    "music": (
        "There is music or tones but too little speech to say anything about a voice.",
        "음악이나 신호음만 있고 말소리가 거의 없어 목소리는 판단하지 않았습니다.",
        "Tonal sound without enough speech.",
    ),
    "too_little_speech": (
        "There is too little speech to say anything about the voice.",
        "말하는 부분이 너무 짧아 목소리는 판단하지 않았습니다.",
        "Speech below the audio half's minimum.",
    ),
    "file_damaged": (
        "The file is incomplete or damaged, so not all of it could be examined.",
        "파일이 온전하지 않거나 손상되어 전부 분석하지 못했습니다.",
        "The container, or all that is in it, could not be read: the same at every try.",
    ),
    "ends_early": (
        "The file ends before its time: the rest could not be examined.",
        "파일이 중간에 끊겨 있어 나머지 부분은 분석하지 못했습니다.",
        "A half of it breaks off, by what the file states of its length.",
    ),
    "other_tracks": (
        "The file has further sound tracks: only the one that players choose was examined.",
        "파일에 소리 트랙이 더 있습니다. 재생할 때 기본으로 나오는 소리만 분석했습니다.",
        "The file has more than one sound track.",
    ),
    # --- the picture -----------------------------------------------------------------------------
    "picture_strong_signs": (
        "{face} has strong signs of having been made or changed by a computer{at}.",
        "{face}을 컴퓨터로 만들었거나 바꾼 흔적이 뚜렷합니다{at}.",
        "The faces alone reach the band `likely_manipulated`.",
    ),
    "picture_signs": (
        "{face} has some signs of having been made or changed by a computer{at}.",
        "{face}을 컴퓨터로 만들었거나 바꾼 것으로 의심되는 점이 있습니다{at}.",
        "The faces reach the band `half`, or with the voice `suspicious`.",
    ),
    "picture_no_signs": (
        "The face shows no clear signs of having been made by a computer.",
        "얼굴에서는 컴퓨터로 만든 뚜렷한 흔적을 찾지 못했습니다.",
        "The faces alone lie in the band `likely_authentic`.",
    ),
    "picture_unclear": (
        "The face gives no clear answer either way.",
        "얼굴만으로는 어느 쪽인지 분명하지 않습니다.",
        "The faces alone lie between the bands.",
    ),
    "picture_thin": (
        "Faces are seen only briefly, so little is made of the picture.",
        "얼굴이 나오는 부분이 적어 얼굴 분석 결과는 조금만 반영했습니다.",
        "Fewer scored faces than the model's gate `min_faces`, or all of them within 1 s.",
    ),
    "picture_unfamiliar": (
        "The picture is unlike anything the detector was tested on, so little is made of it.",
        "검증해 본 적이 없는 종류의 화면이어서 얼굴 분석 결과는 조금만 반영했습니다.",
        "The video half says that its input is out of distribution.",
    ),
    "picture_not_examined": (
        "The picture could not be examined.",
        "화면은 분석하지 못했습니다.",
        "The video half has no score, for a cause that has no text of its own.",
    ),
    "picture_failed": (
        "The picture could not be examined because of a technical problem.",
        "기술적인 문제로 화면을 분석하지 못했습니다.",
        "The video half failed, or never arrived.",
    ),
    "no_video_track": (
        "The recording has no moving picture, so there is no face to examine.",
        "화면이 없는 녹음이어서 얼굴은 분석하지 않았습니다.",
        "The file has no picture track.",
    ),
    "undecodable_video": (
        "The picture could not be read, so no face was examined.",
        "화면을 읽을 수 없어 얼굴을 분석하지 못했습니다.",
        "No picture track could be decoded.",
    ),
    "too_few_frames": (
        "A face is seen in too few pictures to say anything about it.",
        "얼굴이 보이는 화면이 너무 적어 얼굴은 판단하지 않았습니다.",
        "Fewer frames with a usable face than the video half's minimum.",
    ),
    "no_face": (
        "No face was found in the picture.",
        "화면에서 얼굴을 찾지 못했습니다.",
        "No face was found in any sampled frame.",
    ),
    "face_too_small": (
        "The faces are too small in the picture to be examined.",
        "얼굴이 너무 작게 나와 분석할 수 없습니다.",
        "All faces are below the video half's minimum size.",
    ),
    "face_too_blurred": (
        "The faces are too blurred to be examined.",
        "얼굴이 너무 흐릿해 분석할 수 없습니다.",
        "All faces are below the video half's minimum sharpness.",
    ),
    "faces_left_out": (
        "Many faces are seen at once: only the largest of each picture were examined.",
        "한 화면에 얼굴이 여럿 나와, 그중 큰 얼굴만 분석했습니다.",
        "Far more faces than the largest of each picture are seen.",
    ),
    "other_pictures": (
        "The file has further picture tracks: only the one that players choose was examined.",
        "파일에 화면 트랙이 더 있습니다. 재생할 때 기본으로 나오는 화면만 분석했습니다.",
        "The file has more than one picture track.",
    ),
    "profile_only": (
        "The faces are only seen from the side and could not be examined.",
        "얼굴이 옆모습만 나와 분석할 수 없습니다.",
        "All faces are turned away.",
    ),
    # --- both together ---------------------------------------------------------------------------
    "sequence_findings": (
        "The order of the pictures looks as if it had been changed{at}.",
        "화면의 순서나 길이를 바꾼 것으로 의심되는 부분이 있습니다{at}.",
        "What the video half reports about the order of frames weighs clearly, or is accused.",
    ),
    "sequence_frozen": (
        "The picture stands still{at}; a bad connection does that, too.",
        "화면이 멈춘 부분이 있습니다{at}. 연결이 나쁠 때도 그럴 수 있습니다.",
        "As `sequence_findings`, where the strongest finding is a frozen picture.",
    ),
    "sequence_removed": (
        (
            "Pictures seem to be missing inside a shot{at}, as where somebody cut a piece out; "
            "ordinary editing does that, too."
        ),
        (
            "이어지는 장면에서 일부를 잘라 낸 것처럼 화면이 건너뛰는 곳이 있습니다{at}. 평범한 "
            "편집에서도 흔히 그렇습니다."
        ),
        "A finding of missing pictures; never accuses, but nothing reassuring is said beside it.",
    ),
    "sync_mismatch": (
        "The sound does not fit the mouth that is seen; a narrator or translator does that, too.",
        "들리는 소리가 화면 속 입 모양과 맞지 않습니다. 해설이나 더빙일 때도 그럴 수 있습니다.",
        "Speech and mouth agree clearly better at a wrong offset, and no second speaker is seen.",
    ),
    "sync_late": (
        "The sound comes about {offset} seconds after the mouth; a bad recording does that, too.",
        "소리가 입 모양보다 약 {offset}초 늦습니다. 녹화가 잘못되었을 때도 그럴 수 있습니다.",
        "As `sync_mismatch`, with whoever else is seen, and there sound and mouth agree clearly.",
    ),
    "sync_early": (
        "The sound comes about {offset} seconds before the mouth; a bad recording does that, too.",
        "소리가 입 모양보다 약 {offset}초 빠릅니다. 녹화가 잘못되었을 때도 그럴 수 있습니다.",
        "As `sync_mismatch`, with whoever else is seen, and there sound and mouth agree clearly.",
    ),
    "sync_agrees": (
        "The mouth moves in time with the voice.",
        "입 모양이 목소리와 잘 맞습니다.",
        "Speech and mouth agree clearly better at the right offset than at any other.",
    ),
    "halves_disagree": (
        "Voice and picture point in opposite directions, and together give no clear answer.",
        "목소리와 화면의 분석 결과가 서로 엇갈려, 함께 보아도 어느 쪽인지 분명하지 않습니다.",
        "The halves differ by more than the gate, or one alone is suspicious and the whole is not.",
    ),
    "evidence_straddles": (
        "What was found fits both a genuine and a manipulated recording.",
        "찾아낸 내용만으로는 진짜일 수도, 조작되었을 수도 있습니다.",
        "The interval reaches from one side to the other, or the probability lies between bands.",
    ),
    "not_ruled_out": (
        (
            "Allowing for error, the recording may still be manipulated: that nothing clear was "
            "found is all this says."
        ),
        (
            "오차를 감안하면 조작된 파일일 가능성도 남아 있습니다. 뚜렷한 흔적을 찾지 못했다는 "
            "뜻일 뿐입니다."
        ),
        "The band `likely_authentic`, with an interval that reaches into the band `suspicious`.",
    ),
    "evidence_weak": (
        "There is too little usable material for a statement.",
        "판단하기에는 쓸 수 있는 자료가 너무 적습니다.",
        "All evidence there is, is thin or unfamiliar.",
    ),
    "half_unexamined": (
        "Because part of the recording could not be examined, nothing reassuring is said about it.",
        "일부를 분석하지 못했으므로 문제가 없다고 말씀드릴 수 없습니다.",
        "A half failed, could not be decoded or left much out, and nothing shows signs.",
    ),
    # --- provenance ------------------------------------------------------------------------------
    "declared_ai": (
        "The file carries a valid signed note that it was made or changed with AI.",
        "AI로 만들었거나 고쳤다는 유효한 서명 기록이 파일에 들어 있습니다.",
        "A valid C2PA manifest asserts that the content is AI-generated.",
    ),
    "provenance_valid": (
        (
            "The file carries a valid signed note about its origin. It says who claims to have "
            "signed it, not that what is shown is true."
        ),
        (
            "파일에 출처를 밝히는 유효한 서명 기록이 있습니다. 누구 이름으로 서명했는지를 알려 줄 "
            "뿐, 내용이 사실이라는 뜻은 아닙니다."
        ),
        "A valid C2PA manifest without an assertion of AI.",
    ),
    "provenance_invalid": (
        (
            "The signed note about the file's origin does not fit the file: it was changed "
            "afterwards, or the note was copied from elsewhere."
        ),
        (
            "파일의 출처 서명 기록이 파일과 맞지 않습니다. 나중에 파일을 고쳤거나 다른 파일의 "
            "기록을 옮겨 왔을 수 있습니다."
        ),
        "A C2PA manifest is there and its validation fails.",
    ),
}

REGISTRY: dict[str, Entry] = {code: Entry(*texts) for code, texts in _ENTRIES.items()}


def make(
    code: str,
    weight: float = 0.0,
    start_s: float | None = None,
    end_s: float | None = None,
    offset_s: float | None = None,
    places_s: tuple[float, ...] = (),
    spans_s: Sequence[tuple[float, float]] = (),
    person: int | None = None,
) -> Reason:
    """Build a reason with its English text.

    Args:
        code: A code of the registry.
        weight: How much it moved the verdict, in nats, by magnitude.
        start_s: Where in the recording it begins, in seconds.
        end_s: Where it ends.
        offset_s: By how much the sound is late, in seconds; negative where it is early.
        places_s: All places, where it is not one span.
        spans_s: All spans, the most telling one first, instead of where it begins and ends.
        person: Whose face it is about, where several were scored.

    Raises:
        KeyError: The registry has no such code.
    """
    REGISTRY[code]
    if spans_s:
        start_s, end_s = spans_s[0]
    bare = Reason(
        code=code,
        text="",
        weight=round(abs(weight), 4),
        start_s=start_s,
        end_s=end_s,
        offset_s=offset_s,
        places_s=places_s,
        spans_s=tuple(spans_s) if len(spans_s) > 1 else (),
        person=person,
    )
    return bare.model_copy(update={"text": text(bare, "en")})


def text(reason: Reason, language: Language) -> str:
    """Return the text of a reason in a language; its stored text where the code is unknown."""
    entry = REGISTRY.get(reason.code)
    if entry is None:
        return reason.text
    template = entry.en if language == "en" else entry.ko
    offset = "" if reason.offset_s is None else f"{abs(reason.offset_s):.1f}"
    values = {"at": _at(reason, language), "offset": offset, "face": _face(reason, language)}
    return template.format(**values)


def clock(seconds: float) -> str:
    """Write a time as people read it on a player: 0:07, 12:34, 1:02:03."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(start_s: float, end_s: float) -> str:
    """Write from when to when, or one time where both read the same."""
    start, end = clock(start_s), clock(end_s)
    return start if start == end else f"{start}–{end}"


def _face(reason: Reason, language: Language) -> str:
    if reason.person is None:
        return "The face" if language == "en" else "얼굴"
    number = reason.person + 1
    return f"Face {number}" if language == "en" else f"{number}번 얼굴"


def _at(reason: Reason, language: Language) -> str:
    spans = reason.spans_s or tuple((place, place) for place in reason.places_s)
    if not spans and reason.start_s is not None and reason.end_s is not None:
        spans = ((reason.start_s, reason.end_s),)
    starts = {(clock(start), clock(end)): start for start, end in spans}
    named = sorted(list(starts)[:_PLACES_NAMED], key=lambda one: starts[one])
    return _at_places(named, len(starts), language) if named else ""


def _at_places(spans: list[tuple[str, str]], in_all: int, language: Language) -> str:
    """Tell some spans, or moments, of so many in all."""
    are_moments = all(start == end for start, end in spans)
    more = in_all - len(spans)
    if language == "ko":
        told = [start if start == end else f"{start}~{end}" for start, end in spans]
        near = " 부근" if are_moments else ""
        return f"({', '.join(told)}{f' 등 {in_all}곳' if more else near})"
    at = "" if are_moments else "at "
    told = [f"{at}{start}" if start == end else f"from {start} to {end}" for start, end in spans]
    *first, last = [*told, f"{more} more"] if more else told
    listed = f"{', '.join(first)} and {last}" if first else last
    return f", at {listed}" if are_moments else f", {listed}"
