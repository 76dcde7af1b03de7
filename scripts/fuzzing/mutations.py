"""Seeded damage to a media file: what an attacker, a bad disk or a broken upload would do."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Numbers at which parsers go wrong.
_EXTREMES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
#: Where containers keep what everything else hangs on.
_HEADER_BYTES = 4096
_MOST_MUTATIONS = 4


@dataclass(frozen=True)
class Material:
    """What mutations are made of.

    Attributes:
        others: Contents of other files, of every container.
        lures: Texts that name the canary: playlists, scripts and plain references.
    """

    others: Sequence[bytes]
    lures: Sequence[bytes]


Mutation = Callable[[bytearray, random.Random, Material], None]


def flip_bits(content: bytearray, rng: random.Random, _: Material) -> None:
    """Flip some bits anywhere."""
    for _bit in range(rng.choice((1, 4, 16, 64, 256))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flip_header(content: bytearray, rng: random.Random, _: Material) -> None:
    """Change bytes where the container describes itself: at its beginning or its end."""
    reach = min(_HEADER_BYTES, len(content))
    start = rng.choice((0, len(content) - reach))
    for _byte in range(rng.choice((1, 2, 8, 32))):
        content[start + rng.randrange(reach)] = rng.randrange(256)


def truncate(content: bytearray, rng: random.Random, _: Material) -> None:
    """Cut the end off, most often a little, sometimes nearly all."""
    share = rng.choice((rng.random(), rng.random() ** 8, 1 - rng.random() ** 8))
    del content[max(1, int(len(content) * share)) :]


def resize_chunk(content: bytearray, rng: random.Random, _: Material) -> None:
    """Lie about the size of a box (big-endian, before its name) or a chunk (little, behind)."""
    names = [found.start() for found in re.finditer(rb"[A-Za-z0-9 ]{4}", bytes(content))]
    if not names:
        return
    name = rng.choice(names[: rng.choice((16, 64, len(names)))])
    before = rng.random() < 0.5
    at, order = (name - 4, "big") if before else (name + 4, "little")
    if at < 0 or at + 4 > len(content):
        return
    told = int.from_bytes(content[at : at + 4], order)  # type: ignore[arg-type]  # one of two words
    new = rng.choice((*_EXTREMES, told + 1, told - 1, told * 2, len(content), rng.getrandbits(32)))
    content[at : at + 4] = (new & 0xFFFFFFFF).to_bytes(4, order)  # type: ignore[arg-type]  # as above


def set_number(content: bytearray, rng: random.Random, _: Material) -> None:
    """Write an extreme number into the header: counts, rates, sizes and EBML lengths."""
    width = rng.choice((1, 2, 4, 8))
    reach = min(_HEADER_BYTES, len(content))
    if reach <= width:
        return
    for _number in range(rng.choice((1, 3))):
        at = rng.randrange(reach - width)
        value = rng.choice(_EXTREMES) & ((1 << 8 * width) - 1)
        content[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


def splice(content: bytearray, rng: random.Random, material: Material) -> None:
    """Put a piece of another file into this one, over what was there or between."""
    other = rng.choice(material.others)
    size = rng.choice((16, 256, 4096, 65_536))
    start = rng.randrange(len(other))
    piece = other[start : start + size]
    at = rng.randrange(len(content))
    content[at : at + len(piece) * rng.randrange(2)] = piece


def swap_header(content: bytearray, rng: random.Random, material: Material) -> None:
    """Give this file the beginning of another."""
    size = rng.choice((4, 12, 64, 512, 4096))
    content[:size] = rng.choice(material.others)[:size]


def repeat_or_drop(content: bytearray, rng: random.Random, _: Material) -> None:
    """Write a piece of the file many times, or leave it out."""
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice((8, 188, 1024, 8192))]
    content[start : start + len(piece)] = piece * rng.choice((0, 2, 5, 50))


def plant(content: bytearray, rng: random.Random, material: Material) -> None:
    """Plant a reference to the canary: as text in the file, or as all of it behind the header."""
    lure = rng.choice(material.lures)
    keep = rng.choice((0, 4, 8, 12, 32, rng.randrange(len(content))))
    if rng.random() < 0.5:
        content[keep:] = lure * rng.choice((1, 40))
    else:
        content[keep : keep + len(lure)] = lure


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_header,
    truncate,
    resize_chunk,
    set_number,
    splice,
    swap_header,
    repeat_or_drop,
    plant,
)


def mutate(original: bytes, rng: random.Random, material: Material) -> bytes:
    """Damage a file in one to four ways; the same generator gives the same damage."""
    content = bytearray(original)
    for _ in range(rng.randint(1, _MOST_MUTATIONS)):
        rng.choice(MUTATIONS)(content, rng, material)
        if not content:
            content.extend(b"\0")
    return bytes(content)


def lures(path: str, port: int) -> list[bytes]:
    """Return texts that ask a reader to open a file, or to connect to a port."""
    targets = (f"file:{path}", path, f"http://127.0.0.1:{port}/a", f"tcp://127.0.0.1:{port}")
    texts = []
    for target in targets:
        texts += [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9,\nconcat:{target}|{target}\n",
            f"ffconcat version 1.0\nfile '{target}'\n",
            f'<?xml version="1.0"?><MPD type="static"><BaseURL>{target}</BaseURL></MPD>',
            f"RTSPtext\r\n{target}\r\n",
            f"GAB2\0\2\0\0\0\0\0\4\0\x50\0\0\0#EXTM3U\n{target}\n",
            f"movie={target}",
        ]
    texts.append(f"v=0\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n")
    return [text.encode() for text in texts]
