"""Checking many signatures, in worker processes if there are any.

A chain costs one signature per run; records that no other vouches for cost one
each, which is most of what taking them in costs. Threads do not help: the
binding lets go of the interpreter for each call alone, too short to matter.
For the same reason nothing here runs on a thread of its own: a pool's threads
and the one that ingests would wait for each other. What is to be checked is
written to a worker's socket, and its verdict read when somebody needs it.
Workers are spawned, never forked (a database must not be used across a fork),
so a program that embeds us and asks for them needs the usual guard around its
main module.
"""

import contextlib
import logging
import signal
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final, Protocol

from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, is_signed
from unhush.identity.keys import KEY_BYTES, PublicKey

log = logging.getLogger(__name__)

# Entries for one trip to a worker: enough that the trip costs little, few enough that workers share a batch.
_CHUNK: Final = 256
# What waits in a socket while a worker is busy: more than a batch has, so that whoever writes goes on at once.
_BUFFER_BYTES: Final = 4 * 1024 * 1024
# A worker that ends is replaced as often; then something is wrong with this machine, and we go on without.
_MAX_REPLACED: Final = 3

# Verdicts a worker has given that nobody has asked for yet; whoever comes later checks for himself.
_MAX_KEPT: Final = 256

_COUNT: Final = struct.Struct(">I")
_VALID: Final = b"\x01"
_INVALID: Final = b"\x00"


class Verifier:
    """Judges entries by their own signatures; with ``workers`` in so many processes, started when first needed."""

    def __init__(self, network: str, workers: int = 0) -> None:
        self._network = network
        self._wanted = workers
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._turns = cycle(range(max(workers, 1)))
        self._replaced = 0

    @property
    def has_workers(self) -> bool:
        return self._wanted > 0

    def begin(self, entries: Iterable[UnverifiedEntry]) -> "Verification":
        """Start to check entries; what comes back knows the answers when asked. Without workers nothing is begun."""
        begun: list[tuple[list[Cid], _Ticket]] = []
        waiting = iter(entries) if self._wanted else iter(())
        chunk = list(islice(waiting, _CHUNK))
        if len(chunk) > 1:
            with self._lock:
                while chunk and (ticket := self._submit(chunk)) is not None:
                    begun.append(([entry.cid for entry in chunk], ticket))
                    chunk = list(islice(waiting, _CHUNK))
        return Verification(self._network, begun)

    def close(self) -> None:
        with self._lock:
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()

    def _submit(self, chunk: list[UnverifiedEntry]) -> "_Ticket | None":
        """Hand a chunk to the next worker; None if there is none any more."""
        payload = pack_chunk([(entry.header.key.bytes, entry.block) for entry in chunk])
        while self._wanted:
            try:
                while len(self._workers) < self._wanted:
                    self._workers.append(_Worker(self._network))
                worker = self._workers[next(self._turns) % self._wanted]
                try:
                    return worker.submit(payload)
                except OSError as exc:
                    worker.close()
                    self._workers.remove(worker)
                    self._note_ended(exc)
            except (OSError, RuntimeError) as exc:  # no process could be started
                self._give_up(exc)
        return None

    def _note_ended(self, exc: Exception) -> None:
        self._replaced += 1
        if self._replaced > _MAX_REPLACED:
            self._give_up(exc)

    def _give_up(self, exc: Exception) -> None:
        log.warning("signatures are checked in this process from now on: %s", exc)
        self._wanted = 0
        for worker in self._workers:
            worker.close()
        self._workers.clear()


class Verification:
    """Answers about entries whose signatures are being checked; any other entry is checked when asked for."""

    def __init__(self, network: str, begun: "Sequence[tuple[list[Cid], _Ticket]]" = ()) -> None:
        self._network = network
        self._begun = begun
        self._answers: dict[Cid, bool] | None = None

    def is_signed(self, entry: UnverifiedEntry) -> bool:
        """Whether an entry bears its key's valid signature. Asked again, it knows."""
        if self._answers is None:
            self._answers = self._collect()
        known = self._answers.get(entry.cid)
        if known is None:
            known = is_signed(entry.block, entry.header.key, self._network)
            self._answers[entry.cid] = known
        return known

    def _collect(self) -> dict[Cid, bool]:
        answers: dict[Cid, bool] = {}
        for cids, ticket in self._begun:
            verdicts = ticket.verdicts()
            # Of a worker that ended nothing comes: what it had is checked here when asked for.
            if verdicts is not None and len(verdicts) == len(cids):
                answers.update((cid, verdict == _VALID[0]) for cid, verdict in zip(cids, verdicts, strict=True))
        return answers


class _Ticket(Protocol):
    """A chunk under way."""

    def verdicts(self) -> bytes | None:
        """One byte for each entry, in order; None if the worker ended before."""


class _Worker:
    """One process; chunks go in and verdicts come out in the same order."""

    def __init__(self, network: str) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        _widen(self._connection)
        self._process = context.Process(target=work, args=(theirs, network), name="unhush-verify", daemon=True)
        self._process.start()
        theirs.close()
        self._lock = threading.Lock()
        self._submitted = 0
        self._answered = 0
        self._verdicts: dict[int, bytes] = {}
        self._has_ended = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def submit(self, payload: bytes) -> "_ChunkTicket":
        """Raises ``OSError`` if the process has ended."""
        if self._has_ended:
            raise BrokenPipeError("a process that checks signatures has ended")
        self._connection.send_bytes(payload)
        self._submitted += 1
        return _ChunkTicket(self, self._submitted)

    def verdicts(self, number: int) -> bytes | None:
        with self._lock:
            while self._answered < number and not self._has_ended:
                try:
                    self._verdicts[self._answered + 1] = self._connection.recv_bytes()
                    self._answered += 1
                    self._verdicts.pop(self._answered - _MAX_KEPT, None)
                except (EOFError, OSError) as exc:
                    log.warning("a process that checks signatures ended: %r", exc)
                    self._has_ended = True
            return self._verdicts.pop(number, None)

    def close(self) -> None:
        """End the process; who still waits for verdicts is told that there are none."""
        self._has_ended = True
        self._process.terminate()
        self._process.join()
        with self._lock, contextlib.suppress(OSError):
            self._connection.close()


class _ChunkTicket:
    """One chunk at one worker; forgotten with whoever holds it, and its verdicts then with the worker."""

    def __init__(self, worker: _Worker, number: int) -> None:
        self._worker = worker
        self._number = number

    def verdicts(self) -> bytes | None:
        return self._worker.verdicts(self._number)


def _widen(connection: Connection) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=connection.fileno()) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        borrowed.detach()


def pack_chunk(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Keys and blocks as they travel to a worker: how many, the lengths of the blocks, the keys, the blocks."""
    lengths = struct.pack(f">{len(pairs)}I", *(len(block) for _, block in pairs))
    return b"".join((_COUNT.pack(len(pairs)), lengths, *(key for key, _ in pairs), *(block for _, block in pairs)))


def unpack_chunk(payload: bytes) -> list[tuple[bytes, bytes]]:
    """What ``pack_chunk`` packed."""
    (count,) = _COUNT.unpack_from(payload)
    lengths = struct.unpack_from(f">{count}I", payload, _COUNT.size)
    key_at = _COUNT.size + 4 * count
    at = key_at + KEY_BYTES * count
    pairs: list[tuple[bytes, bytes]] = []
    for length in lengths:
        pairs.append((payload[key_at : key_at + KEY_BYTES], payload[at : at + length]))
        key_at, at = key_at + KEY_BYTES, at + length
    return pairs


def work(connection: Connection, network: str) -> None:
    """In a worker: say of each block whether it is signed by the key beside it, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us too; our parent says when to end
    with contextlib.suppress(EOFError, OSError):
        while True:
            pairs = unpack_chunk(connection.recv_bytes())
            verdicts = (is_signed(block, PublicKey(key), network) for key, block in pairs)
            connection.send_bytes(b"".join(_VALID if verdict else _INVALID for verdict in verdicts))
