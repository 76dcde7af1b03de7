"""Damaged messages through intake's parser: real notifications of every wrapping, changed."""

from __future__ import annotations

import copy
import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, given
from hypothesis import seed as seeded
from hypothesis import settings as configured
from hypothesis import strategies as st

from shared.errors import UnparsableEvent
from shared.records import Upload
from workers.intake.events import parse

#: Recorded messages of every wrapping.
RECORDED = Path(__file__).parents[2] / "tests" / "data" / "events"
#: A message may take this long at most, in seconds.
LIMIT_S = 5.0
#: SQS takes no longer message (Amazon SQS developer guide, "message quotas").
LONGEST_BYTES = 1024 * 1024
#: Crashes that are told in full.
_TOLD = 5

_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        (
            *("", "null", "uploads/", "uploads/../secret", "uploads/%00", "%", "%ff%fe", "\ud800"),
            *("uploads/" + "k" * 2000, "a" * 100_000, "s3:ObjectCreated:Put", "aws:s3", "aws.s3"),
            *("Object Created", "9.9", "2.", "-1", "NaN", "{}", "[]", '{"Records": []}'),
        )
    ),
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    _TEXTS,
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_TEXTS.filter(str), inner, max_size=4)
    ),
    max_leaves=8,
)
_EDITS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(("set", "drop", "wrap", "rename", "nest", "message", "repeat")),
        _VALUES,
    ),
    max_size=4,
)
_CUTS = st.lists(st.tuples(st.floats(0, 1), st.text(max_size=3)), max_size=2)


def run(inputs: int, seed: int) -> dict[str, Any]:
    """Parse that many damaged messages and return the outcome as JSON values."""
    outcomes: Counter[str] = Counter()
    crashes: list[str] = []
    slowest = [0.0]
    started = time.monotonic()

    @seeded(seed)
    @configured(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(_recorded()), _EDITS, _CUTS)
    def feed(base: Any, edits: list[tuple[int, str, Any]], cuts: list[tuple[float, str]]) -> None:
        body = _damaged(base, edits, cuts)
        assume(len(body) <= LONGEST_BYTES)
        begun = time.perf_counter()
        try:
            outcomes[_outcome(body)] += 1
        except Exception:  # noqa: BLE001  # any error that is not of the type is what we look for
            outcomes["crash"] += 1
            crashes.append(f"{traceback.format_exc(limit=-2)} for {body[:300]!r}")
        slowest[0] = max(slowest[0], time.perf_counter() - begun)

    feed()
    done = sum(outcomes.values())
    return {
        "ok": not crashes and slowest[0] < LIMIT_S and done >= inputs,
        "seed": seed,
        "inputs": done,
        "outcomes": dict(outcomes.most_common()),
        "crashes": len(crashes),
        "first_crashes": crashes[:_TOLD],
        "slowest_ms": round(slowest[0] * 1000, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _recorded() -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(RECORDED.glob("*.json"))]


def _outcome(body: str) -> str:
    """Parse as intake does, and use what it would use."""
    try:
        parsed = parse(body)
    except UnparsableEvent:
        return "unparsable"
    for upload in parsed.uploads:
        again = Upload.model_validate_json(upload.model_dump_json())
        if again.job_id != upload.job_id:
            raise AssertionError("the upload changed on its way through JSON")
    if parsed.uploads:
        return "uploads"
    return "ignored" if parsed.ignored else "nothing"


def _damaged(base: Any, edits: list[tuple[int, str, Any]], cuts: list[tuple[float, str]]) -> str:
    """Edit a document at places of its tree, write it, and then cut into the text."""
    document = copy.deepcopy(base)
    for position, edit, value in edits:
        places = list(_places(document))
        if places:
            _edit(*places[position % len(places)], edit, value)
    text = json.dumps(document)
    for share, inserted in cuts:
        at = int(share * len(text))
        text = text[:at] + inserted + text[at + len(inserted) * 2 :]
    return text


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """List every value of a document by its parent and its name in there."""
    names = node.keys() if isinstance(node, dict) else range(len(node))
    for name in list(names):
        yield node, name
        if isinstance(node[name], dict | list):
            yield from _places(node[name])


def _edit(parent: Any, name: Any, edit: str, value: Any) -> None:
    old = parent[name]
    if edit == "drop":
        del parent[name]
    elif edit == "rename" and isinstance(parent, dict):
        parent[str(value)[:50]] = parent.pop(name)
    elif edit == "message":
        parent[name] = {"Message": json.dumps(old)}
    elif edit == "nest":
        for _ in range(200):
            old = [old]
        parent[name] = old
    elif edit == "repeat":
        parent[name] = [old] * 50
    else:
        parent[name] = [old] if edit == "wrap" else value
