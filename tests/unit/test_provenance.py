"""Provenance: real signed files are told apart, and nothing is ever fetched."""

import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared import provenance
from shared.cache import made_by
from shared.containers import sniff, sniff_file
from shared.decoder import DecodeLimits
from shared.errors import DecoderTimeout
from shared.halves import examine
from shared.records import Analysis, Outcome, PartialResult
from shared.settings import Settings

MP4 = sniff(b"\0\0\0\x20ftypisom")
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PEM = serialization.Encoding.PEM


def name(common):
    names = {
        NameOID.COUNTRY_NAME: "KR",
        NameOID.ORGANIZATION_NAME: "Example Camera",
        NameOID.COMMON_NAME: common,
    }
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in names.items()])


def certificate(subject, public, authority, *, is_authority):
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        not is_authority, False, False, False, False, is_authority, is_authority, False, False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("authority"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    if not is_authority:
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(use, critical=False)
    return builder.sign(authority, hashes.SHA256()).public_bytes(PEM)


@pytest.fixture(scope="module")
def authority():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def anchor(authority):
    return certificate("authority", authority.public_key(), authority, is_authority=True)


@pytest.fixture(scope="module")
def sign(tmp_path_factory, authority, anchor):
    """Return a function that signs a small real video with a manifest."""
    folder = tmp_path_factory.mktemp("c2pa")
    source = folder / "source.mp4"
    make = "ffmpeg -v error -f lavfi -i color=s=32x32:d=0.2 -pix_fmt yuv420p"
    subprocess.run([*make.split(), source], check=True)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = certificate("camera", key.public_key(), authority, is_authority=False) + anchor
    private = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=private, ta_url=None)

    def sign_as(file_name, source_type, remote=None, source=source):
        action = {"action": "c2pa.created", "digitalSourceType": SOURCES + source_type}
        manifest = {
            "claim_generator_info": [{"name": "example tool", "version": "1"}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
        target = folder / file_name
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
            if remote:
                builder.set_no_embed()
                builder.set_remote_url(remote)
            builder.sign_file(str(source), str(target), signer)
        return target

    sign_as.source = source
    return sign_as


def test_a_signed_capture_is_valid_and_nobody_vouches_for_its_signer(sign):
    assert provenance.read(sign("capture.mp4", "digitalCapture"), MP4) == {
        "status": "valid",
        "trusted": "no",
        "issuer": "Example Camera",
        "generator": "example tool",
    }


def test_a_signer_under_a_given_anchor_is_trusted(sign, anchor):
    found = provenance.read(sign("trusted.mp4", "digitalCapture"), MP4, anchor.decode())

    assert found["trusted"] == "yes"


@pytest.mark.parametrize(
    "kind", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
)
def test_a_manifest_that_says_ai_is_declared(sign, kind):
    assert provenance.read(sign(f"{kind}.mp4", kind), MP4)["status"] == "declared_ai"


@pytest.mark.parametrize("kind", ["trainedAlgorithmicMedia", "digitalCapture"])
def test_a_file_changed_after_signing_is_invalid_whatever_it_declares(sign, kind):
    path = sign(f"changed-{kind}.mp4", kind)
    content = bytearray(path.read_bytes())
    content[content.rfind(b"mdat") + 10] ^= 0xFF
    path.write_bytes(content)
    found = provenance.read(path, MP4)

    assert found["status"] == "invalid"
    assert found["failure"] == "assertion.bmffHash.mismatch"


def test_a_file_without_a_manifest_is_absent(sign):
    assert provenance.read(sign.source, MP4) == {"status": "absent"}


@pytest.mark.parametrize("container", ["matroska", "ogg", "mpegts", ""])
def test_a_container_that_cannot_be_looked_into_is_unsupported_not_absent(sign, container):
    assert provenance.read(sign.source, container) == {"status": "unsupported"}


def test_what_cannot_be_parsed_is_unreadable(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"noise" * 100)

    assert provenance.read(path, MP4) == {"status": "unreadable"}


def test_a_manifest_kept_elsewhere_is_not_fetched(sign):
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/manifest.c2pa"
        found = provenance.read(sign("remote.mp4", "digitalCapture", remote=url), MP4)

        assert found == {"status": "remote"}
        with pytest.raises(TimeoutError):
            canary.accept()


def test_text_of_the_manifest_is_shortened_and_printable():
    manifest = {"signature_info": {"issuer": "a\x00\u202e" + "b" * 500}}
    found = provenance.describe({"active_manifest": "m", "manifests": {"m": manifest}}, "Valid")

    assert found["issuer"] == "a" + "b" * 119


def test_an_ai_ingredient_counts_too():
    action = {"action": "c2pa.created", "digitalSourceType": SOURCES + "trainedAlgorithmicMedia"}
    part = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    store = {"active_manifest": "whole", "manifests": {"whole": {}, "part": part}}

    assert provenance.describe(store, "Trusted")["status"] == "declared_ai"


def test_an_untrusted_file_is_read_in_a_child_with_the_same_answer(sign, anchor, tmp_path):
    path = sign("child.mp4", "trainedAlgorithmicMedia")
    anchors = tmp_path / "anchors.pem"
    anchors.write_bytes(anchor)

    assert provenance.inspect(path, MP4) == provenance.read(path, MP4)
    assert provenance.inspect(path, MP4, trust_anchors=anchors)["trusted"] == "yes"


def test_a_half_trusts_whom_the_settings_name(sign, anchor, tmp_path):
    path = sign("half.mp4", "digitalCapture")
    (tmp_path / "anchors.pem").write_bytes(anchor)
    settings = Settings(c2pa_trust_anchors=tmp_path / "anchors.pem")
    seen = Analysis(PartialResult(modality="video", outcome=Outcome.SCORED, llr=0.0))

    half = examine(path, "video", lambda *_: seen, settings)[0].result

    assert half.provenance["trusted"] == "yes"
    assert made_by(settings) != made_by(Settings())  # nor is what was remembered of others used


def test_a_child_that_is_stopped_gives_no_answer(sign):
    path = sign("stopped.mp4", "digitalCapture")
    limits = DecodeLimits(wall_s=0.01)

    assert provenance.inspect(path, MP4, limits=limits) == {"status": "unreadable"}


@pytest.mark.parametrize("remote", [None, "http://127.0.0.1:9/manifest.bin"])
@pytest.mark.parametrize("kind", ["mp4", "mov", "m4a", "avi", "wav", "mp3", "flac"])
def test_no_manifest_is_missed_in_any_container(sign, tmp_path, kind, remote):
    source, sound = tmp_path / f"source.{kind}", kind in {"m4a", "wav", "mp3", "flac"}
    make = f"ffmpeg -v error -f lavfi -i {'sine=d=1' if sound else 'color=s=32x32:d=0.2'}"
    subprocess.run([*make.split(), source], check=True)
    signed = sign(tmp_path / f"signed.{kind}", "digitalCapture", remote, source)

    found = provenance.inspect(signed, sniff_file(signed))

    assert found["status"] == ("remote" if remote else "valid")


def test_no_child_is_started_for_a_file_without_traces_unless_it_is_large(sign, monkeypatch):
    started = []

    def start(*_, **__):
        started.append(1)
        raise DecoderTimeout

    monkeypatch.setattr(provenance, "Child", start)
    assert provenance.inspect(sign.source, MP4) == {"status": "absent"}
    assert not started

    monkeypatch.setattr(provenance, "_LOOKED_THROUGH", 100)
    assert provenance.inspect(sign.source, MP4) == {"status": "unreadable"}
    assert started


def test_no_child_is_started_for_a_container_without_manifests(tmp_path):
    assert provenance.inspect(tmp_path / "none.webm", "matroska") == {"status": "unsupported"}
