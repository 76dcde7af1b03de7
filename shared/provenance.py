"""What a file says about its own origin: its C2PA manifest, read offline and validated."""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.decoder import DEFAULT_LIMITS, Child, DecodeLimits
from shared.errors import DecoderTimeout

#: MIME type for each container, as `sniff` names it, that C2PA can be embedded in.
_MIME_TYPES = {
    "mov": "video/mp4",
    "avi": "video/avi",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
}
#: Ends of IPTC digital source types that mean "made, or partly made, by generative AI".
_AI_SOURCES = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
)
#: Wall-clock limit of the child, in seconds, and the longest answer that is read, in bytes.
MAX_WALL_S = 60.0
_MAX_ANSWER = 65_536
#: Of these, every file with a manifest has one: the label of its store, the property of XMP that
#: links to one elsewhere (C2PA specification, "Embedding manifests"), or ID3's frame, which may be
#: packed.
_TRACES = (b"c2pa", b"provenance", b"GEOB")
#: Looking for traces in a larger file takes longer than to start the child.
_LOOKED_THROUGH = 128 << 20
#: Longest text taken over from a manifest: anybody can write one.
_MAX_TEXT = 120


def inspect(
    path: Path,
    container: str,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    trust_anchors: Path | None = None,
) -> dict[str, str]:
    """Read and validate the manifest of an untrusted file, in a child with the decoder's limits.

    Most files have none, which their bytes tell in a fraction of the child's time.

    Args:
        path: The file.
        container: Its format as `sniff` names it, like `mov`.
        limits: What the child may use.
        trust_anchors: PEM file of the issuers that are trusted; None trusts nobody, so that a
            valid manifest says who signed, and that nobody vouches for the signer.

    Returns:
        As `read`; `unreadable` also where the child was stopped.

    Raises:
        ToolMissing: prlimit is not installed.
    """
    if container not in _MIME_TYPES:
        return {"status": "unsupported"}
    if not _has_traces(path):
        return {"status": "absent"}
    command = [sys.executable, "-I", "-B", "-m", "shared.provenance", str(path), container]
    if trust_anchors:
        command.append(str(trust_anchors))
    package = Path(__file__).resolve().parents[1]
    reads = (path, package, *(Path(home) for home in (sys.prefix, sys.base_prefix)))
    reads += (trust_anchors,) if trust_anchors else ()
    quick = replace(limits, wall_s=min(limits.wall_s, MAX_WALL_S))
    try:
        with Child(command, quick, reads=reads) as child:
            answer = child.stdout.read(_MAX_ANSWER)
            status = child.finish()
    except DecoderTimeout:
        return {"status": "unreadable"}
    return json.loads(answer) if status == 0 else {"status": "unreadable"}


def _has_traces(path: Path) -> bool:
    """Tell whether a file may have a manifest; a large one is not looked through."""
    size = path.stat().st_size
    if not 0 < size <= _LOOKED_THROUGH:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(trace) >= 0 for trace in _TRACES)


def read(path: Path, container: str, trust_anchors: str | None = None) -> dict[str, str]:
    """Read and validate the manifest of a file in this process; nothing is fetched.

    Args:
        path: The file.
        container: Its format as `sniff` names it, like `mov`.
        trust_anchors: Certificates (PEM) of the issuers that are trusted.

    Returns:
        `status`, and where there is a manifest `trusted` (yes, no), `issuer`, `generator`, and
        for an invalid one `failure`. `unsupported` is not `absent`: nobody could look.

        valid: the manifest fits the file. declared_ai: it does, and says that AI was used.
        invalid: the file was changed after it was signed, or the manifest is not its own.
        remote: the file only refers to a manifest elsewhere. unreadable: it cannot be parsed.
    """
    import c2pa  # noqa: PLC0415  # 15 MB of native code: only the child needs it

    mime = _MIME_TYPES.get(container)
    if mime is None:
        return {"status": "unsupported"}
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if trust_anchors:
        settings["trust"] = {"trust_anchors": trust_anchors}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    try:
        with path.open("rb") as file, c2pa.Reader(mime, file, context=context) as reader:
            return describe(json.loads(reader.json()), reader.get_validation_state())
    except c2pa.C2paError.ManifestNotFound:
        return {"status": "absent"}
    except c2pa.C2paError as error:
        # c2pa 0.38 has no class of its own for a manifest that it was told not to fetch.
        return {"status": "remote" if str(error).startswith("Remote") else "unreadable"}


def describe(store: Mapping[str, Any], state: str | None) -> dict[str, str]:
    """Sum up a manifest store.

    Args:
        store: The store as c2pa's reader writes it.
        state: Its validation state: Valid, Trusted or Invalid.
    """
    manifests = store.get("manifests", {})
    active = manifests.get(store.get("active_manifest"), {})
    generators = active.get("claim_generator_info") or [{}]
    found = {
        "status": "invalid",
        "trusted": "yes" if state == "Trusted" else "no",
        "issuer": _plain(active.get("signature_info", {}).get("issuer")),
        "generator": _plain(generators[0].get("name")),
    }
    if state in {"Valid", "Trusted"}:
        declared = any(_declares_ai(manifest) for manifest in manifests.values())
        found["status"] = "declared_ai" if declared else "valid"
    else:
        codes = [row.get("code", "") for row in store.get("validation_status", [])]
        found["failure"] = _plain(", ".join(code for code in codes if "untrusted" not in code))
    return {name: value for name, value in found.items() if value}


def _declares_ai(manifest: Mapping[str, Any]) -> bool:
    """Tell whether an action of the manifest names a generative source."""
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", [])
    ]
    return any(str(action.get("digitalSourceType", "")).endswith(_AI_SOURCES) for action in actions)


def _plain(text: object) -> str:
    """Shorten, and drop what does not print: the text is the uploader's."""
    kept = "".join(sign for sign in str(text or "") if sign.isprintable())
    return kept[:_MAX_TEXT]


if __name__ == "__main__":
    anchors = Path(sys.argv[3]).read_text() if len(sys.argv) > 3 else None  # noqa: PLR2004  # optional
    sys.stdout.write(json.dumps(read(Path(sys.argv[1]), sys.argv[2], anchors)))
