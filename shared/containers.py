"""Which container a file is, told from its first bytes, and whether such a file is analysed."""

from __future__ import annotations

from pathlib import Path

from shared.errors import EmptyObject, NotMedia, TooLarge

#: Bytes of a file that `sniff` wants to see.
SNIFF_BYTES = 1024
_BOX_TYPES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"hevx")
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (8, b"WAVE", "wav"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"ID3", "mp3"),
    (0, b"FLV\x01", "flv"),
    (0, b"#!AMR", "amr"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
)
#: Containers that hold sound only.
AUDIO_CONTAINERS = frozenset({"wav", "aiff", "flac", "mp3", "aac", "amr"})
_TS_PACKET = 188


def sniff(head: bytes) -> str:
    """Tell the container from the first bytes of a file; names and Content-Type do not count.

    Args:
        head: The first `SNIFF_BYTES` bytes, or the whole file if shorter.

    Returns:
        The name of the ffmpeg demuxer for the container.

    Raises:
        NotMedia: The content is no container that is analysed.
    """
    if head[4:8] == b"ftyp":
        if head[8:12] in _IMAGE_BRANDS:
            raise NotMedia("The content is a still image, not a video or sound recording.")
        return "mov"
    if head[4:8] in _BOX_TYPES:
        return "mov"
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic and (offset == 0 or head[:4] in _RIFF_LIKE):
            return name
    if len(head) > 2 * _TS_PACKET and head[0] == head[_TS_PACKET] == head[2 * _TS_PACKET] == 0x47:
        return "mpegts"
    return _sniff_frame_sync(head)


def admit(size_bytes: int, head: bytes, max_bytes: int) -> str:
    """Decide from size and first bytes whether a file is analysed, and return its container.

    Raises:
        EmptyObject: It has no bytes.
        TooLarge: It has more than `max_bytes`.
        NotMedia: Its content is no container that is analysed.
    """
    if size_bytes == 0:
        raise EmptyObject
    if size_bytes > max_bytes:
        raise TooLarge(f"The file has {size_bytes} bytes; at most {max_bytes} are analysed.")
    return sniff(head)


_RIFF_LIKE = (b"RIFF", b"FORM", b"RF64")


def _sniff_frame_sync(head: bytes) -> str:
    """Tell raw MPEG audio (11 sync bits, ISO/IEC 11172-3) from ADTS AAC (12 bits and layer 0)."""
    if len(head) > 3 and head[0] == 0xFF:
        layer = (head[1] >> 1) & 3
        if head[1] & 0xF0 == 0xF0 and layer == 0:
            return "aac"
        bitrate_index = head[2] >> 4
        if head[1] & 0xE0 == 0xE0 and layer != 0 and bitrate_index not in (0, 15):
            return "mp3"
    raise NotMedia


def require_file(path: Path) -> None:
    """Refuse pipes, devices and directories; what is not there is for `open` to tell.

    Raises:
        NotMedia: It is no file; opening a pipe would wait for whoever writes. Or its path is no
            UTF-8, which neither a report nor the command line of a decoder could name.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise NotMedia(f"The path {str(path)!a} is not written in UTF-8; rename the file.")
    if path.exists() and not path.is_file():
        raise NotMedia(f"{path} is no file: what is analysed is read more than once.")


def sniff_file(path: Path) -> str:
    """Tell the container of a file from its content; see `sniff` and `require_file`."""
    require_file(path)
    with path.open("rb") as file:
        return sniff(file.read(SNIFF_BYTES))
