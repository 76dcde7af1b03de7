"""Signatures: any change is found, formatting is none, and foreign keys are refused."""

import json
import os
import subprocess

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared import signing
from shared.errors import SetupError
from workers.cli import main

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BODY = {"label": "suspicious", "probability": 0.1 + 0.2, "text": {"ko": "확인"}, "rows": [1, None]}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def signed(body=BODY, key=KEY):
    return json.dumps(signing.sign(body, key)).encode()


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_signed_document_verifies_and_names_its_key():
    signature, body = signing.verify(signed(), KEY.public_key())

    assert body == BODY
    assert signature.key_id == signing.key_id(KEY.public_key())


def test_a_rewriter_that_turns_whole_floats_into_integers_changes_nothing():
    """As jq and JavaScript do."""
    document = signing.sign({"start_s": 1.0, "rows": [{"end_s": -0.0}, 2.5]}, KEY)
    rewritten = {**document, "start_s": 1, "rows": [{"end_s": 0}, 2.5]}

    signing.verify(json.dumps(rewritten).encode(), KEY.public_key())


@given(st.dictionaries(st.text().filter(lambda name: name != signing.FIELD), JSON))
def test_any_document_verifies_after_a_round_trip_through_a_pretty_printer(body):
    pretty = json.dumps(json.loads(signed(body)), indent=3, ensure_ascii=True).encode()

    signing.verify(pretty, KEY.public_key())


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(label="likely_authentic"),
        lambda body: body.update(probability=0.3),
        lambda body: body.update(extra=1),
        lambda body: body.pop("rows"),
        lambda body: body["text"].update(ko="확인됨"),
        lambda body: body["rows"].reverse(),
    ],
)
def test_any_change_is_found(change):
    body = json.loads(signed())
    change(body)

    with pytest.raises(signing.NotVerified, match="changed"):
        signing.verify(json.dumps(body).encode())


@pytest.mark.parametrize("strange", [b"NaN", b"1e999", b'"\\ud800"'])
def test_what_no_document_of_ours_can_hold_is_a_change(strange):
    document = signed({"a": 12345})

    with pytest.raises(signing.NotVerified, match="changed"):
        signing.verify(document.replace(b"12345", strange))


def test_another_key_is_refused():
    with pytest.raises(signing.NotVerified, match="another key"):
        signing.verify(signed(key=OTHER), KEY.public_key())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"{}", "not signed"),
        (b"[]", "not a JSON object"),
        (b"no json", "not JSON"),
        (b'{"a":1,"a":2}', "twice"),
        (b"<!doctype html>", "no report and no receipt: it is not JSON.$"),
        (b"\0\0\0\x20ftypisom\xff", "no report and no receipt: it is not JSON.$"),
        (b'{"signature":1}', "cannot be read"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_signed_document_says_so(document, message):
    with pytest.raises(signing.NotVerified, match=message):
        signing.verify(document)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("value", "AAAA", "changed"),
        ("value", "%%%", "cannot be read"),
        ("public_key", "AAAA", "cannot be read"),
        ("key_id", "0" * 16, "contradicts"),
        ("algorithm", "none", "contradicts"),
    ],
)
def test_a_damaged_signature_is_refused(field, value, message):
    body = json.loads(signed())
    body["signature"][field] = value

    with pytest.raises(signing.NotVerified, match=message):
        signing.verify(json.dumps(body).encode())


def test_signing_again_replaces_the_signature():
    twice = signing.sign(signing.sign(BODY, OTHER), KEY)

    assert twice == signing.sign(BODY, KEY)


def test_keys_are_read_from_pem():
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    assert signing.key_id(signing.load_key(pem(KEY)).public_key()) == signing.key_id(
        signing.load_public_key(public)
    )


def test_a_key_that_openssl_makes_is_read(tmp_path):
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)

    assert signing.verify(signed(key=signing.load_key(path.read_bytes())))


@pytest.mark.parametrize("load", [signing.load_key, signing.load_public_key])
@pytest.mark.parametrize("content", [b"", b"no key", pem(generate_private_key(SECP256R1()))])
def test_what_is_no_ed25519_key_is_a_setup_error(load, content):
    with pytest.raises(SetupError):
        load(content)


def test_the_command_tells_changed_from_unchanged(tmp_path):
    public = tmp_path / "public.pem"
    public.write_bytes(
        KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    document = tmp_path / "report.json"
    document.write_text(json.dumps(signing.sign(BODY, KEY), indent=2))

    def run(*arguments):
        return CliRunner().invoke(main, ["verify", str(document), *arguments])

    assert run().exit_code == run("--key", str(public)).exit_code == 0
    assert "compare it" in run().output
    answer = json.loads(run("--key", str(public), "--json").output)
    assert answer == {
        "verified": True,
        "key_id": signing.key_id(KEY.public_key()),
        "trusted": True,
    }
    document.write_text(json.dumps(signing.sign(BODY, OTHER)))
    wrong = run("--key", str(public))
    assert (wrong.exit_code, "another key" in wrong.output) == (1, True)
    document.write_text(json.dumps(signing.sign(BODY, KEY) | {"label": "likely_authentic"}))
    assert (run().exit_code, "changed" in run().output) == (1, True)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {
                "schema_name": "silver-guardian:report",
                "job_id": "f0" * 16,
                "file": {"name": "목.mp4", "sha256": "5" * 64},
                "verdict": {"label": "suspicious", "decided_at": "2026-03-01T12:00:00Z"},
            },
            {
                "file": "목.mp4",
                "sha256": "5" * 64,
                "label": "suspicious",
                "decided_at": "2026-03-01T12:00:00Z",
                "job_id": "f0" * 16,
            },
        ),
        (
            {"kind": "erasure", "job_id": "f0" * 16, "erased_at": "2026-03-01T12:00:00Z"},
            {"erased_job_id": "f0" * 16, "erased_at": "2026-03-01T12:00:00Z"},
        ),
        ({"kind": [1], "job_id": 1}, {}),
        ({"schema_name": "silver-guardian:report", "file": 1, "job_id": "\x1b[31m"}, {}),
    ],
)
def test_the_command_says_what_was_verified(tmp_path, body, told):
    path = tmp_path / "document.json"
    path.write_bytes(signed(body))

    plain = CliRunner().invoke(main, ["verify", str(path)])
    as_json = CliRunner().invoke(main, ["verify", str(path), "--json"])

    assert (plain.exit_code, "\x1b" in plain.stdout) == (0, False)
    assert all(value in plain.stdout for value in told.values())
    assert told.items() <= json.loads(as_json.stdout).items()


def test_what_is_no_file_is_refused_at_once(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    for path in (fifo, tmp_path):
        done = CliRunner().invoke(main, ["verify", str(path)])
        assert (done.exit_code, "is no plain file" in " ".join(done.stderr.split())) == (1, True)


def test_a_private_key_is_not_taken_for_the_public_one():
    with pytest.raises(SetupError, match="private key"):
        signing.load_public_key(pem(KEY))
