"""Waiting for news: whoever follows the journal sleeps here until a commit, from any process.

A commit wakes the waiters of its own process directly and sends one datagram
to every other process that waits on this home. A datagram can be lost, so a
slow look at the journal stands behind it, and whoever wakes always reads its
own cursor again: news is a hint that looking is worth while, nothing more.
"""

import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from unhush.storage.errors import HomeInUse
from unhush.storage.runtime import bind_in, leave, short_name

log = logging.getLogger(__name__)

# The fallback look: late news after a lost datagram, at a cost nobody notices.
LOOK_EVERY_S: Final = 1.0


class News:
    """Wakes callbacks and waiters after commits; ``look`` returns the newest aid."""

    def __init__(self, folder: Path, look: Callable[[], int]) -> None:
        self._folder = folder
        self._look = look
        self._changed = threading.Condition()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_callback = 0
        self._seen = look()
        self._socket: socket.socket | None = None
        self._address = folder / f"{os.getpid()}-{id(self):x}.sock"
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every commit, from some thread; returns what ends it. It must be quick."""
        with self._changed:
            self._listen()
            number = self._next_callback
            self._next_callback += 1
            self._callbacks[number] = callback
        return lambda: self._callbacks.pop(number, None) and None

    def wait(self, after_aid: int, timeout_s: float) -> bool:
        """Sleep until the journal is past ``after_aid``; False at timeout."""
        with self._changed:
            self._listen()
            return self._changed.wait_for(lambda: self._is_closed or self._look() > after_aid, timeout_s)

    def announce(self) -> None:
        """After a commit of this process: wake everybody who waits on this home."""
        self._wake()
        with (
            contextlib.suppress(OSError),  # no folder: nobody waits
            short_name(self._folder) as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            for name in os.listdir(folder):
                if name.endswith(".sock") and name != self._address.name:
                    _poke(sender, f"{folder}/{name}")

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            with (
                contextlib.suppress(OSError),
                short_name(self._folder) as folder,
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            ):
                sender.sendto(b"\x00", f"{folder}/{self._address.name}")
            self._thread.join(timeout=5)
        if self._socket is not None:
            self._socket.close()
            self._address.unlink(missing_ok=True)
        leave(self._folder)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback()
            except Exception:  # the commit stands: whoever wrote it must not see it fail
                log.exception("a subscriber to news failed")

    def _listen(self) -> None:
        """Start hearing other processes, with the first who waits."""
        if self._thread is not None or self._is_closed:
            return
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bind_in(self._folder, self._address.name, heard)
        except HomeInUse:
            heard.close()
            raise
        heard.setblocking(False)
        self._socket = heard
        self._thread = threading.Thread(target=self._hear, name="unhush-news", daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        assert self._socket is not None
        arrival = select.poll()
        arrival.register(self._socket, select.POLLIN)
        while not self._is_closed:
            if not arrival.poll(LOOK_EVERY_S * 1000) and self._look() == self._seen:
                continue
            self._drain(self._socket)
            self._seen = self._look()
            self._wake()

    @staticmethod
    def _drain(heard: socket.socket) -> None:
        """Wake-ups that came together are one."""
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.recv(16)


def _poke(sender: socket.socket, path: str) -> None:
    try:
        sender.sendto(b"\x01", path)
    except BlockingIOError:
        pass  # its queue is full of wake-ups: it will wake
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            os.unlink(path)  # left behind by a process that was killed
    except OSError as exc:
        log.debug("wake-up not sent path=%s error=%s", path, exc)
