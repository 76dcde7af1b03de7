"""What people read about a verdict in English and Korean: headlines, next steps and band names."""

from __future__ import annotations

import re

from shared.records import Label
from workers.phrases import Text

#: Words that claim more than an estimate can; a test keeps them out of everything people read.
OVERCLAIMS = re.compile(
    r"\b(proves?|proof|proven|definitely|certainly|certain that|100 ?%|guaranteed|undoubtedly|"
    r"without doubt|is fake|is real|is genuine|criminal|forgery)\b|\b100 ?%"
    r"|증명|확실히|틀림없|분명히 (가짜|조작)|위조|확정",
    re.IGNORECASE,
)

HEADLINES: dict[Label, Text] = {
    Label.LIKELY_AUTHENTIC: {
        "en": "No clear signs of manipulation were found",
        "ko": "뚜렷한 조작 흔적을 찾지 못했습니다",
    },
    Label.SUSPICIOUS: {
        "en": "Some signs of manipulation were found",
        "ko": "조작이 의심되는 점이 있습니다",
    },
    Label.LIKELY_MANIPULATED: {
        "en": "This recording has probably been manipulated",
        "ko": "조작되었을 가능성이 높습니다",
    },
    Label.INCONCLUSIVE: {
        "en": "We cannot tell",
        "ko": "판단하기 어렵습니다",
    },
    Label.NOT_APPLICABLE: {
        "en": "There was nothing we could examine",
        "ko": "분석할 수 있는 내용이 없습니다",
    },
    Label.FAILED: {
        "en": "The examination did not work",
        "ko": "분석을 마치지 못했습니다",
    },
}

NEXT_STEPS: dict[Label, Text] = {
    Label.LIKELY_AUTHENTIC: {
        "en": (
            "This is no guarantee. If the recording asks for money, passwords or haste, call the "
            "person on a number you already know before you do anything."
        ),
        "ko": (
            "그렇다고 안심할 수 있다는 뜻은 아닙니다. 돈이나 비밀번호를 요구하거나 서두르라고 "
            "하면, 먼저 알고 있던 번호로 그 사람에게 직접 전화해 확인하세요."
        ),
    },
    Label.SUSPICIOUS: {
        "en": (
            "Do not act on this recording yet. Call the person on a number you already know, and "
            "show the recording to someone you trust."
        ),
        "ko": (
            "아직은 이 내용만 믿고 행동하지 마세요. 알고 있던 번호로 그 사람에게 직접 전화해 "
            "확인하고, 믿을 만한 사람에게도 보여 주세요."
        ),
    },
    Label.LIKELY_MANIPULATED: {
        "en": (
            "Do not send money, codes or personal details because of this recording. Call the "
            "person on a number you already know. Keep the recording and tell your bank or the "
            "police if something was asked of you."
        ),
        "ko": (
            "이 내용만 믿고 돈을 보내거나 인증번호, 개인정보를 알려 주지 마세요. 알고 있던 번호로 "
            "그 사람에게 직접 전화해 확인하세요. 요구받은 것이 있다면 파일을 지우지 말고 거래 "
            "은행이나 경찰에 알리세요."
        ),
    },
    Label.INCONCLUSIVE: {
        "en": (
            "Treat the recording with care, as if it had not been examined. Call the person on a "
            "number you already know. A longer or clearer copy, if there is one, can be examined "
            "again."
        ),
        "ko": (
            "분석하지 않은 파일이라고 생각하고 조심해서 다루세요. 알고 있던 번호로 그 사람에게 "
            "직접 전화해 확인하세요. 더 길거나 선명한 원본이 있으면 다시 분석할 수 있습니다."
        ),
    },
    Label.NOT_APPLICABLE: {
        "en": (
            "We looked for a speaking voice and for faces and could examine neither, so we say "
            "nothing about this recording. If it asks something of you, call the person on a "
            "number you already know."
        ),
        "ko": (
            "말하는 목소리나 얼굴을 분석할 수 없어 이 파일에 대해서는 아무런 판단도 하지 "
            "않았습니다. 무언가를 요구하는 내용이라면 알고 있던 번호로 그 사람에게 직접 전화해 "
            "확인하세요."
        ),
    },
    Label.FAILED: {
        "en": (
            "This says nothing about whether the recording was manipulated. Please submit it "
            "again, and if that does not help, another copy of it. Until then, call the person on "
            "a number you already know."
        ),
        "ko": (
            "조작 여부와는 관계없는 결과입니다. 다시 올려 주시고, 그래도 같으면 다른 사본을 올려 "
            "주세요. 그 전까지는 알고 있던 번호로 그 사람에게 직접 전화해 확인하세요."
        ),
    },
}


def percent(probability: float) -> int:
    """Round to whole percent, never to 0 or 100: nothing is that sure."""
    return max(1, min(99, round(100 * probability)))
