"""A file that nobody may open and a port that nobody may reach, and proof that nobody did."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import threading
from pathlib import Path

_OPENED, _READ = 0x20, 0x01  # inotify(7): IN_OPEN, IN_ACCESS
_EVENT = struct.Struct("iIII")
_PAUSE_MS = 100


class Canary:
    """Watches a file through inotify and a port, TCP and UDP, until the context is left.

    Attributes:
        path: The file; it holds a real recording, so that reading it would show.
        port: The port, on 127.0.0.1.
        touches: What happened to either: `opened`, `read`, `tcp`, `udp`.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        """Write the file; it is not watched yet."""
        path.write_bytes(content)
        self.path = path
        self.touches: list[str] = []

    def __enter__(self) -> Canary:
        """Begin to watch."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._inotify, os.fsencode(self.path), _OPENED | _READ) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching, after a last look."""
        self._stop.set()
        self._thread.join()
        os.close(self._inotify)
        self._tcp.close()
        self._udp.close()

    def _watch(self) -> None:
        poll = select.poll()
        for handle in (self._inotify, self._tcp.fileno(), self._udp.fileno()):
            poll.register(handle, select.POLLIN)
        stopping = False
        while not stopping:
            stopping = self._stop.is_set()
            for handle, _ in poll.poll(0 if stopping else _PAUSE_MS):
                self._note(handle)

    def _note(self, handle: int) -> None:
        if handle == self._inotify:
            content = os.read(handle, 65_536)
            while content:
                _, mask, _, name = _EVENT.unpack_from(content)
                self.touches.append("opened" if mask & _OPENED else "read")
                content = content[_EVENT.size + name :]
        elif handle == self._tcp.fileno():
            self._tcp.accept()[0].close()
            self.touches.append("tcp")
        else:
            self._udp.recv(65_536)
            self.touches.append("udp")
