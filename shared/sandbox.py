"""What the kernel does to keep a decoder away from files and networks: Landlock and namespaces.

Landlock (landlock(7), Linux 5.13) needs no privilege and works inside containers; namespaces need
one, or a kernel that lets anybody make them. Whatever this machine permits is used.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from shared.errors import SandboxMissing

#: auto: what the machine permits. require: files and network confined, or nothing is decoded.
Mode = Literal["auto", "require", "off"]

#: What every program reads to start: itself and its libraries. Not /etc, not /proc, not home.
_PROGRAM_PATHS = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ssl/openssl.cnf"),
    *("/dev/null", "/dev/urandom", "/sys/devices/system/cpu"),
)
_NAMESPACES = (("--net", "--ipc"), ("--user", "--net", "--ipc"))
#: Processes and threads of a child. Counted by the kernel for each user of a user namespace, so
#: it is set only where the child has one of its own.
_MAX_PROCESSES = 512
_PROBE_S = 20.0

# <linux/landlock.h>, <linux/prctl.h>; the numbers are the same on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
#: All file rights that each version of the interface knows: a right not handled is not denied.
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL_FILE_RIGHTS = 0xFFFF
_TCP_RIGHTS, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract sockets and signals to others


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True)
class Layers:
    """What confines a child on this machine.

    Attributes:
        landlock: Version of the kernel's Landlock interface; 0 where there is none.
        namespaces: Options of unshare(1) that work here; empty where none is permitted.
    """

    landlock: int = 0
    namespaces: tuple[str, ...] = ()

    @property
    def files(self) -> bool:
        """Whether a child can open nothing but its program and the files it is given."""
        return self.landlock > 0

    @property
    def network(self) -> bool:
        """Whether a child can reach no TCP port, whatever it tries."""
        return bool(self.namespaces) or self.landlock >= _TCP_SINCE

    def prefix(self) -> tuple[str, ...]:
        """Return the command that a child's command line begins with."""
        if not self.namespaces:
            return ()
        return (str(shutil.which("unshare")), *self.namespaces, "--")

    def limits(self) -> tuple[str, ...]:
        """Return the limits of prlimit(1) that make sense in these layers only."""
        return (f"--nproc={_MAX_PROCESSES}",) if "--user" in self.namespaces else ()


def layers(mode: Mode = "auto") -> Layers:
    """Return what confines a child in this mode; found out once in a process.

    Raises:
        SandboxMissing: The mode is `require`, and files or network would not be confined.
    """
    if mode == "off":
        return Layers()
    with _once:
        found = _detect()
    if mode == "require" and not (found.files and found.network):
        raise SandboxMissing
    return found


_once = threading.Lock()


@lru_cache(maxsize=1)
def _detect() -> Layers:
    """Try the layers with a real program, and leave out what keeps it from running."""
    abi = max(0, _syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))
    landlock = abi if abi and _runs(Layers(landlock=abi)) else 0
    unshare = shutil.which("unshare")
    allowed = (
        flags for flags in _NAMESPACES if unshare and _runs(Layers(landlock, namespaces=flags))
    )
    return Layers(landlock, next(allowed, ()))


def _runs(tried: Layers) -> bool:
    """Tell whether ffprobe starts in these layers; the layers are those of a thread that ends."""
    statuses: list[int] = []

    def run() -> None:
        try:
            confine(tried, ())
            command = [*tried.prefix(), str(shutil.which("ffprobe")), "-version"]
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=_PROBE_S, env={"LC_ALL": "C"}
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        statuses.append(done.returncode)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return statuses == [0]


def confine(wanted: Layers, reads: Sequence[Path]) -> None:
    """Confine this thread, for good, and every child that it starts; other threads are as before.

    Args:
        wanted: The layers; namespaces are entered by the command of the child (`prefix`).
        reads: Files, and directories with all they hold, that may be read.

    Raises:
        OSError: The kernel refused.
    """
    if not wanted.landlock:
        return
    files = _FILE_RIGHTS.get(wanted.landlock, _ALL_FILE_RIGHTS)
    attributes = _RulesetAttr(
        files,
        _TCP_RIGHTS if wanted.landlock >= _TCP_SINCE else 0,
        _SCOPES if wanted.landlock >= _SCOPES_SINCE else 0,
    )
    size = ctypes.sizeof(attributes)
    ruleset = _checked(_syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0))
    try:
        for path in (*_PROGRAM_PATHS, *_tool_paths()):
            _allow(ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
        for given in reads:
            _allow(ruleset, str(given), _READ_FILE | _READ_DIR | _EXECUTE)
        _checked(_libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


@lru_cache(maxsize=1)
def _tool_paths() -> tuple[str, ...]:
    """Return where ffmpeg is installed, should that be outside of /usr."""
    found = [shutil.which(tool) for tool in ("ffmpeg", "ffprobe")]
    homes = {Path(tool).resolve().parent.parent for tool in found if tool}
    return tuple(str(home) for home in homes if home != Path("/"))


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Let a file, or all beneath a directory, be used; what does not exist needs no rule."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  # a symlink's end counts, as for O_PATH
            rights = _READ_FILE | (_WRITE_FILE if path == os.devnull else 0)
        rule = _PathBeneathAttr(rights, handle)
        _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    return int(_libc().syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
