"""Ed25519 signatures over canonical JSON, so that a report can still be checked years later."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from shared.errors import Permanent, SetupError
from shared.records import Record

ALGORITHM = "Ed25519"
FIELD = "signature"
#: Said before every signed text, so that a signature made for something else never fits.
_CONTEXT = b"silver-guardian document v1\n"


class NotVerified(Permanent):
    """The document's signature does not fit."""

    code = "not_verified"


class Signature(Record):
    """The field `signature` of a signed document."""

    algorithm: str
    key_id: str
    public_key: str
    value: str


def canonical(body: Mapping[str, Any]) -> bytes:
    """Write a document in the one form that is signed: sorted names, no spaces, UTF-8.

    Whole numbers have no fraction, as in RFC 8785: most who rewrite JSON turn 1.0 into 1.
    """
    return json.dumps(
        _whole(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _whole(value: Any) -> Any:
    """Turn each whole float into an integer."""
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def load_key(pem: bytes) -> Ed25519PrivateKey:
    """Read a private key.

    Args:
        pem: Unencrypted PKCS #8, as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        SetupError: It is no such key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SetupError("The signing key is not an unencrypted PEM private key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError("The signing key is not an Ed25519 key.")
    return key


@lru_cache(maxsize=4)
def key_file(path: Path | None) -> Ed25519PrivateKey | None:
    """Read the private key of a file, once; None for no file.

    Raises:
        SetupError: The file cannot be read, or holds no such key.
    """
    if path is None:
        return None
    try:
        return load_key(path.read_bytes())
    except OSError as error:
        raise SetupError(f"The signing key {path} cannot be read: {error.strerror}.") from error


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        SetupError: It is no Ed25519 public key in PEM.
    """
    if b"PRIVATE KEY-----" in pem:
        raise SetupError("This is a private key; its public one is needed (openssl pkey -pubout).")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SetupError("The public key is not in PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SetupError("The public key is not an Ed25519 key.")
    return key


def sign(body: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return the document with its signature; signing again replaces it."""
    unsigned = {name: value for name, value in body.items() if name != FIELD}
    public = key.public_key()
    signature = Signature(
        algorithm=ALGORITHM,
        key_id=key_id(public),
        public_key=_text(public.public_bytes_raw()),
        value=_text(key.sign(_CONTEXT + canonical(unsigned))),
    )
    return {**unsigned, FIELD: signature.model_dump()}


def verify(
    document: bytes, trusted: Ed25519PublicKey | None = None
) -> tuple[Signature, dict[str, Any]]:
    """Check that a document is as it was signed.

    Args:
        document: The JSON file, in any formatting.
        trusted: The key that must have signed it. Without one the key inside the document is
            used: this finds any later change, but not a document signed anew by somebody else.

    Returns:
        The signature, whose `key_id` is to be compared where no trusted key was given, and what
        was signed.

    Raises:
        NotVerified: There is no signature, it is of another key, or the content was changed.
    """
    body = _parse(document)
    try:
        signature = Signature.model_validate(body.pop(FIELD))
        public = Ed25519PublicKey.from_public_bytes(_bytes(signature.public_key))
        value = _bytes(signature.value)
    except KeyError as error:
        raise NotVerified("The document is not signed.") from error
    except (ValidationError, ValueError) as error:
        raise NotVerified("The document's signature cannot be read.") from error
    if signature.algorithm != ALGORITHM or signature.key_id != key_id(public):
        raise NotVerified("The document's signature contradicts itself.")
    if trusted is not None and key_id(trusted) != signature.key_id:
        raise NotVerified(f"The document was signed with another key ({signature.key_id}).")
    try:
        public.verify(value, _CONTEXT + canonical(body))
    except (InvalidSignature, ValueError, RecursionError) as error:  # what JSON cannot hold, too
        raise NotVerified("The document was changed after it was signed.") from error
    return signature, body


def key_id(key: Ed25519PublicKey) -> str:
    """Return a short name of a key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _parse(document: bytes) -> dict[str, Any]:
    try:
        body = json.loads(document, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise NotVerified("This is no report and no receipt: it is not JSON.") from error
    if not isinstance(body, dict):
        raise NotVerified("This is no report and no receipt: it is not a JSON object.")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name given twice: two readers could see different content under one signature."""
    names = dict(pairs)
    if len(names) != len(pairs):
        raise NotVerified("A name appears twice in one object of the document.")
    return names


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
