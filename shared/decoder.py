"""The ffmpeg child that decodes untrusted media, and what it may use.

Children have no network protocols, limits on CPU time, memory and written bytes, a wall-clock
limit, and their own process group, which is killed as a whole, and which dies with this process.
What the kernel adds to that is in `shared.sandbox`.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import queue
import re
import select
import shutil
import signal
import subprocess
import termios
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ffmpeg

from shared import sandbox
from shared.cores import cores
from shared.errors import DecoderTimeout, ToolMissing, Undecodable
from shared.records import Media, Track

#: Protocols that a child may open.
PROTOCOLS = "file,pipe"
#: A line of ffmpeg's filter `showinfo`: number and time of a picture, written as %g, or NOPTS.
#: It begins with the filter's name: tags of the file are in the log, too, and may hold anything.
SHOWINFO = re.compile(
    rb"^\[Parsed_showinfo_\d+ @ \w+\] \[info\] n:\s*(?P<number>\d{1,18})\b.*?"
    rb"\bpts_time:\s*(?P<time>-?\d+(?:\.\d+)?(?:e[-+]?\d{1,2})?|NOPTS)"
)
#: A line of the log that tells of an error.
_ERROR = re.compile(rb"^(?:\[[^\]]* @ \w+\] )*\[(?:error|fatal|panic)\] ")
#: The names of further outputs in a command; see `Child.beside`.
BESIDE_PIPES = tuple(f"pipe:{name}" for name in ("second", "third", "fourth", "fifth"))
#: Room in a child's pipe (16 s of sound), so that it decodes on while we work on what is there.
_PIPE_BYTES = 1024 * 1024
#: Demuxers for which ffmpeg counts from the first packet of the tracks that are decoded, not of
#: the file: those of AVFMT_TS_DISCONT (`ffmpeg_demux.c`).
_FROM_FIRST_USED = ("mpegts", "mpeg", "ogg")
#: How often the clock of a child is looked at, in seconds.
_TICK_S = 1.0
#: A child that used this share of its time on a CPU was busy with the file, not kept from work.
_BUSY_SHARE = 0.5


@dataclass(frozen=True)
class DecodeLimits:
    """What one decoder child may use.

    Attributes:
        wall_s: Seconds that it may keep us waiting; those in which we have unread output of its
            do not count, so that slow models do not end a long recording.
        cpu_s: CPU time of all its threads.
        memory_bytes: Its address space.
        sandbox: What the kernel adds; see `shared.sandbox`.
    """

    wall_s: float = 600
    cpu_s: int = 900
    memory_bytes: int = 4 * 1024**3
    sandbox: sandbox.Mode = "auto"


DEFAULT_LIMITS = DecodeLimits()


def open_input(path: Path, media: Media, track: Track, start_s: float = 0.0, **options: Any) -> Any:
    """Return one track of an ffmpeg-python input with the demuxer that `probe` found.

    It may open no network. Its times count from `start_s`. Left alone, ffmpeg decodes with a
    thread for each core of the node, not of the pod.
    """
    if start_s:
        options["ss"] = start_s
    opened = ffmpeg.input(
        f"file:{path}",
        f=media.container,
        protocol_whitelist=PROTOCOLS,
        threads=cores(),
        **options,
    )
    return opened[str(track.index)]


def compile_quiet(
    stream: Any, media: Media, track: Track, *, beside: Any = (), **output: Any
) -> list[str]:
    """Turn an ffmpeg-python graph into the command line of a quiet child that writes to a pipe.

    Args:
        stream: What is written.
        media: What a probe found in the input.
        track: The track of it that is decoded.
        beside: Other outputs of the same graph.
        **output: Options of the output.
    """
    node = ffmpeg.merge_outputs(ffmpeg.output(stream, "pipe:1", **output), *beside)
    command: list[str] = node.global_args(
        *("-nostdin", "-nostats", "-hide_banner", "-loglevel", "repeat+level+info")
    ).compile()
    return command + _first_used(media, track)


def _first_used(media: Media, track: Track) -> list[str]:
    """Return an output that takes a moment of the track that begins first, and writes nothing.

    The demuxers of `_FROM_FIRST_USED` count from the first packet of the tracks that are used.
    """
    if media.container not in _FROM_FIRST_USED or not track.start_s:
        return []
    first = min(media.tracks, key=lambda other: other.start_s)
    return ["-map", f"0:{first.index}", "-codec", "copy", "-t", "0.001", "-f", "null", "null"]


@dataclass
class Child:
    """An ffmpeg or ffprobe process in its own group, with limits; killed on leaving the context.

    util-linux's `prlimit` sets the resource limits before it becomes the tool. A thread starts the
    child and watches the clock: Landlock confines the thread that asks for it, and a parent's
    death is told to the children of the thread that dies.

    Attributes:
        command: The tool and its arguments. What they name as `file:PATH` may be read.
        limits: What the child may use.
        pattern: What tells of a picture in the log; see `next_picture`.
        reads: Further files and directories that may be read.
        errors: Errors in the log so far.
        beside: What the child writes to those of `BESIDE_PIPES` that its command names.
    """

    command: list[str]
    limits: DecodeLimits
    pattern: re.Pattern[bytes] | None = None
    reads: tuple[Path, ...] = ()
    errors: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _matches: queue.SimpleQueue[tuple[bytes, bytes] | None] = field(
        default_factory=queue.SimpleQueue
    )
    _timed_out: bool = False
    _busy: bool = False
    _last_s: float = 0.0

    def __enter__(self) -> Child:
        self._layers = sandbox.layers(self.limits.sandbox)
        started: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()
        command = self._full_command()
        self.beside: list[IO[bytes]] = []
        passed: tuple[int, ...] = ()
        for name in BESIDE_PIPES:
            if name in command:
                read, write = os.pipe()
                self.beside.append(os.fdopen(read, "rb"))
                passed = (*passed, write)
                command[command.index(name)] = f"pipe:{write}"
        self._watcher = threading.Thread(
            target=self._run, args=(command, passed, started), daemon=True
        )
        self._watcher.start()
        process = started.get()
        for end in passed:  # the child has its own
            os.close(end)
        if isinstance(process, OSError):
            for pipe in self.beside:
                pipe.close()
            raise process
        self._process = process
        assert self._process.stdout
        self.stdout: IO[bytes] = self._process.stdout
        with contextlib.suppress(OSError):  # beyond what this user may have in all pipes together
            for pipe in (self.stdout, *self.beside):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.wait()
        self._watcher.join()
        self._reader.join()
        for pipe in (self.stdout, *self.beside):
            pipe.close()

    def kill(self) -> None:
        """End the child and all that it started; its pipes end with it."""
        self._kill(self._process)

    def _full_command(self) -> list[str]:
        """Put what confines and limits before the command.

        Raises:
            ToolMissing: A tool is not installed.
        """
        tools = [shutil.which(tool) for tool in ("setpriv", "prlimit", self.command[0])]
        if None in tools:
            raise ToolMissing
        setpriv, prlimit, tool = map(str, tools)
        return [
            *self._layers.prefix(),
            *(setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--"),
            *(prlimit, f"--cpu={self.limits.cpu_s}", f"--as={self.limits.memory_bytes}"),
            *("--fsize=0", "--core=0", *self._layers.limits(), "--"),
            *(tool, *self.command[1:]),
        ]

    def _run(
        self,
        command: list[str],
        passed: tuple[int, ...],
        started: queue.SimpleQueue[subprocess.Popen[bytes] | OSError],
    ) -> None:
        """Start the child from this thread, and kill it when its time is over."""
        named = (Path(text[5:]) for text in self.command if text.startswith("file:"))
        try:
            sandbox.confine(self._layers, (*named, *self.reads))
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                pass_fds=passed,
                env={"LC_ALL": "C"},
            )
            ended = os.pidfd_open(process.pid)
        except OSError as error:
            started.put(error)
            return
        outputs = [process.stdout, *self.beside]
        started.put(process)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        tick_s = min(_TICK_S, self.limits.wall_s / 10)
        waited_s = 0.0
        while not poll.poll(tick_s * 1000):
            waited_s += tick_s * (not any(map(_unread, outputs)))
            if waited_s >= self.limits.wall_s:
                self._timed_out = True
                self._busy = _cpu_s(process.pid) >= _BUSY_SHARE * self.limits.wall_s
                self._kill(process)
                break
        os.close(ended)

    def next_time_s(self) -> float:
        """Return the time alone of `next_picture`."""
        return self.next_picture()[1]

    def next_picture(self) -> tuple[int, float]:
        """Return the number and the time, never before 0, that the log tells next.

        Numbers start again where the pictures change their size. A picture without a time of its
        own has that of the one before.

        Raises:
            Undecodable: The log has ended.
            DecoderTimeout: The log does not go on.
        """
        try:
            value = self._matches.get(timeout=self.limits.wall_s)
        except queue.Empty as error:
            raise DecoderTimeout("The decoder does not tell the time of a picture.") from error
        if value is None:
            raise Undecodable("The decoder ended without telling the time of a frame.")
        number, time = value
        if time != b"NOPTS":
            self._last_s = max(0.0, float(time))
        return int(number), self._last_s

    def finish(self) -> int:
        """Wait for the end and return the exit status.

        A child that was stopped for what the file asks of it (CPU time, memory, a busy decoder
        beyond the clock) counts as one error: what came out before is good, and a second try
        would end there too.

        Raises:
            DecoderTimeout: It was idle until the wall-clock limit; another try may go better.
        """
        status = self._process.wait()
        self._watcher.join()
        self._reader.join()
        if self._timed_out and not self._busy:
            raise DecoderTimeout(f"The decoder kept us waiting for {self.limits.wall_s:.0f} s.")
        if status == -signal.SIGKILL:
            self.errors += 1
            self._lines = [b"it needs more time or memory than a decoder may use"]
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
                    self._matches.put((found["number"], found["time"]))
                elif _ERROR.match(line) or self.command[0] == "ffprobe":
                    self.errors += 1
                    self._lines = [line]
        self._matches.put(None)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # another thread has just waited for it
                os.killpg(process.pid, signal.SIGKILL)


def _unread(output: IO[bytes] | None) -> int:
    """Return how many bytes of a child's output wait for us."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(output.fileno(), termios.FIONREAD, count)  # type: ignore[union-attr]  # a pipe
    except ValueError:  # closed: nobody reads on
        return 0
    return count[0]


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process that is not yet reaped, of all its threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
