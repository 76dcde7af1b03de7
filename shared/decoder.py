"""The ffmpeg child that decodes untrusted media, and what it may use.

Children have no network protocols, limits on CPU time, memory and written bytes, a wall-clock
limit, and their own process group, which is killed as a whole.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ffmpeg

from shared.errors import DecoderTimeout, ToolMissing, Undecodable
from shared.records import Media

#: Protocols that a child may open.
PROTOCOLS = "file,pipe"


@dataclass(frozen=True)
class DecodeLimits:
    """What one decoder child may use."""

    wall_s: float = 600
    cpu_s: int = 900
    memory_bytes: int = 4 * 1024**3


DEFAULT_LIMITS = DecodeLimits()


def open_input(path: Path, media: Media, **options: Any) -> Any:
    """Return an ffmpeg-python input with the demuxer that `probe` found, and no network."""
    return ffmpeg.input(f"file:{path}", f=media.container, protocol_whitelist=PROTOCOLS, **options)


def compile_quiet(stream: Any, **output: Any) -> list[str]:
    """Turn an ffmpeg-python graph into the command line of a quiet child that writes to a pipe."""
    node = ffmpeg.output(stream, "pipe:1", **output)
    command: list[str] = node.global_args(
        *("-nostdin", "-nostats", "-hide_banner", "-loglevel", "repeat+level+info")
    ).compile()
    return command


@dataclass
class Child:
    """An ffmpeg or ffprobe process in its own group, with limits; killed on leaving the context.

    Resource limits are set by util-linux's `prlimit` before it becomes the tool.
    """

    command: list[str]
    limits: DecodeLimits
    pattern: re.Pattern[bytes] | None = None
    errors: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _matches: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)
    _timed_out: bool = False

    def __enter__(self) -> Child:
        tools = [shutil.which(tool) for tool in ("prlimit", self.command[0])]
        if None in tools:
            raise ToolMissing
        limits = (
            f"--cpu={self.limits.cpu_s}",
            f"--as={self.limits.memory_bytes}",
            "--fsize=0",
            "--core=0",
        )
        self._process = subprocess.Popen(
            [str(tools[0]), *limits, "--", str(tools[1]), *self.command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            env={"LC_ALL": "C"},
        )
        assert self._process.stdout
        self.stdout: IO[bytes] = self._process.stdout
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(self.limits.wall_s, self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._kill()
        self._process.wait()
        self._reader.join()
        self.stdout.close()

    def next_match(self) -> bytes:
        """Return the next value that the pattern found in the log, in order."""
        value = self._matches.get(timeout=self.limits.wall_s)
        if value is None:
            raise Undecodable("The decoder ended without telling the time of a frame.")
        return value

    def finish(self) -> int:
        """Wait for the end and return the exit status.

        Raises:
            DecoderTimeout: The wall-clock limit was reached.
        """
        status = self._process.wait()
        self._reader.join()
        if self._timed_out:
            raise DecoderTimeout(f"The decoder ran longer than {self.limits.wall_s:.0f} s.")
        return status

    def last_error(self) -> str:
        """Return the last line of the log, without paths."""
        text = self._lines[-1].decode(errors="replace") if self._lines else "no reason was given"
        return re.sub(r"file:\S+", "file", text).strip().rstrip(".")

    def _read_log(self) -> None:
        assert self._process.stderr
        with self._process.stderr as log:
            for line in log:
                found = self.pattern.search(line) if self.pattern else None
                if found:
                    self._matches.put(found[1])
                elif b"[error]" in line or b"[fatal]" in line or self.command[0] == "ffprobe":
                    self.errors += 1
                    self._lines = [line]
        self._matches.put(None)

    def _expire(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
