"""Scrubbing: bytes that were erased are to be gone from the file too, not only from its tables.

LMDB leaves them in three places: in pages that are free now, in the gap between
the offsets and the rows of a page that is in use, and behind a long value on
its last page. A gap may hold what another page held before: new pages are
written from buffers that are never wiped. So first these buffers are filled
with something else, then every gap is overwritten, then every free page.

This writes into the database file itself, beside LMDB, and only where no
transaction reads: gaps belong to no row, and pages in a snapshot that is held
open are never written by others; free pages are touched under the write lock,
and only those that are free for every reader there is. The format is the one
``pages.py`` reads.
"""

import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unhush.storage.environment import Environment
from unhush.storage.errors import StoreDamaged, StoreFull, StoreUnreadable
from unhush.storage.pages import PageFile, Walk, is_readable_here
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# The write lock is held for so long at a time.
SLICE_S: Final = 0.01
# As many buffers as one commit of what comes takes, and some: they stay in memory.
_BUFFERS: Final = 4_096
# One value that fills its page: a page less its head.
_HEAD_BYTES: Final = 16
# A writer may commit twice between our snapshot and our look at it.
_TRIES: Final = 20
# Tables with values longer than half a page; all others have rows of a hundred bytes.
_LONG_VALUES: Final = frozenset(
    (Table.JOURNAL.value, Table.ACCOUNTS.value, Table.META.value, Table.STATEMENTS.value, Table.SPEAKERS.value)
)

_HEAD: Final = struct.Struct("<QHHHH")  # as in pages.py
_NODE: Final = struct.Struct("<HHHH")
_PAGES: Final = struct.Struct("<I")
_BRANCH, _LEAF, _BIG = 1, 2, 1
_NO_PAGE: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """Pages that were overwritten, wholly or in part; free ones that a reader still held back, to be done later."""

    pages: int
    held_back: int


def mark_due(txn: Txn) -> None:
    """Call where something is dropped: the files are scrubbed with the next round of gc, or sooner."""
    txn.put(Table.META, _DUE, b"")


def is_due(txn: Txn) -> bool:
    return txn.get(Table.META, _DUE) is not None


def note_done(txn: Txn) -> None:
    txn.delete(Table.META, _DUE)


_DUE: Final = b"scrub-due"  # in META: something was dropped since the files were last scrubbed


def scrub(environment: Environment, *, pause: Callable[[], None] = lambda: None) -> Scrubbed:
    """Overwrite what no table holds any more; raises ``StoreDamaged`` for a file it cannot find its way in.

    ``pause`` is called between two slices.
    """
    if not is_readable_here():
        raise StoreUnreadable(
            "this machine writes its database in a format that cannot be scrubbed; compact it instead"
        )
    _wipe_buffers(environment)
    # Twice: the first frees pages of its own, written when the buffers were not wiped yet.
    _step_on(environment)
    _step_on(environment)
    pages = _scrub_gaps(environment)
    cursor: int | None = 0
    held_back = 0
    while cursor is not None:
        done, held_back, cursor = _scrub_free(environment, cursor)
        pages += done
        pause()
    return Scrubbed(pages, held_back)


# -- buffers


class _Undone(Exception):
    """Ends a transaction without a commit."""


def _wipe_buffers(environment: Environment) -> None:
    """Fill the buffers LMDB keeps of pages it wrote, in a transaction that is thrown away."""
    try:
        with environment.write() as txn:
            filler = bytes(os.sysconf("SC_PAGESIZE") - _HEAD_BYTES)
            for number in range(_BUFFERS):
                txn.raw.put(b"wipe" + number.to_bytes(4, "big"), filler, db=txn.database(Table.META))
            raise _Undone
    except (_Undone, StoreFull):
        return


def _step_on(environment: Environment) -> None:
    """Commit next to nothing, so that what was freed before is no longer what the newest commit freed."""
    with environment.write() as txn:
        txn.put(Table.META, _STEP, os.urandom(8))


_STEP: Final = b"scrub-step"


# -- pages in use


def _scrub_gaps(environment: Environment) -> int:
    for _ in range(_TRIES):
        with environment.read() as txn:
            try:
                file = _Writable(environment.folder, int(txn.raw.id()))
            except StoreDamaged:
                continue
            with file:
                return file.scrub_gaps()
    raise StoreDamaged(f"the database in {environment.folder} changes too fast, or is damaged; see: unhush verify")


class _Writable(PageFile):
    """The pages of a database file, to be overwritten where nothing is read."""

    def __init__(self, folder: Path, txn_id: int | None = None) -> None:
        super().__init__(folder, txn_id)
        self._out = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._zeros = bytes(self._page_bytes)

    def __enter__(self) -> "_Writable":
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._out)
        os.close(self._out)
        super().__exit__()

    def scrub_gaps(self) -> int:
        """Overwrite what lies between rows, in every page a table uses."""
        walk = Walk()
        trees = {b"": self.meta.main, b"free": self.meta.free} | self.tables(walk)
        self._check(walk)
        self._used = bytearray(self._count)  # the list of tables was read already
        scrubbed = 0
        for name, tree in trees.items():
            stack = [tree.root] if tree.root != _NO_PAGE else []
            has_long = name in _LONG_VALUES or name == b"free"
            while stack:
                number = stack.pop()
                page = self._take(number, name.decode(errors="replace"), walk)
                self._check(walk)
                assert page is not None, "a page that cannot be read was not noted"
                _, _, flags, lower, upper = _HEAD.unpack_from(page)
                if not _HEAD.size <= lower <= upper <= self._page_bytes or not flags & (_BRANCH | _LEAF):
                    raise StoreDamaged(f"page {number} of {self.path} has no order; see: unhush verify")
                scrubbed += self._overwrite(number, page, lower, upper)
                if flags & _BRANCH:
                    stack += self._children(page, number, "", walk)
                elif has_long:
                    scrubbed += sum(self._scrub_tail(at, size) for at, size in self._long_values(page, number, walk))
        return scrubbed

    def free_now(self, oldest_reader: int | None) -> tuple[list[int], int]:
        """The pages that are free for everybody, ascending, and how many some reader still holds back.

        As LMDB itself, it leaves alone what the newest commit freed: the tree before it stands on those pages, and is
        what counts again if that commit turns out to be torn.
        """
        walk, free, held_back = Walk(), [], 0
        for key, value, _ in self._rows(self.meta.free, "the list of free pages", walk):
            numbers = [number for (number,) in struct.iter_unpack("<Q", value[8 : len(value) // 8 * 8])]
            freed_by = int.from_bytes(key, "little")
            if freed_by >= self.meta.txn_id:
                continue
            # Who reads the state of this transaction, or of a later one, has no use for what it freed.
            if oldest_reader is None or freed_by <= oldest_reader:
                free += numbers
            else:
                held_back += len(numbers)
        self._check(walk)
        behind = range(self.meta.last_page + 1, self._size // self._page_bytes)
        return sorted(number for number in (*free, *behind) if 2 <= number < self._size // self._page_bytes), held_back

    def clear(self, number: int) -> bool:
        """Overwrite a whole page; False if there was nothing in it."""
        if self._page(number) == self._zeros:
            return False
        os.pwrite(self._out, self._zeros, number * self._page_bytes)
        return True

    def _overwrite(self, number: int, page: bytes, start: int, stop: int) -> bool:
        if not any(page[start:stop]):
            return False
        os.pwrite(self._out, self._zeros[: stop - start], number * self._page_bytes + start)
        return True

    def _long_values(self, page: bytes, number: int, walk: Walk) -> Iterator[tuple[int, int]]:
        """First page and size of the values of a leaf that have pages of their own."""
        for at, size, flags, key_size in self._nodes(page, number, "", walk):
            if flags & _BIG:
                start = at + _NODE.size + key_size
                yield int.from_bytes(page[start : start + 8], "little"), size

    def _scrub_tail(self, number: int, size: int) -> bool:
        """Overwrite what lies behind a long value, on the pages that are its own."""
        head = self._page(number)
        if len(head) < self._page_bytes or _HEAD.unpack_from(head)[0] != number:
            raise StoreDamaged(f"page {number} of {self.path} holds no long value; see: unhush verify")
        pages = _PAGES.unpack_from(head, 12)[0]
        end = _HEAD.size + size
        if not end <= pages * self._page_bytes or number + pages > self._count:
            raise StoreDamaged(f"the long value at page {number} of {self.path} has no end; see: unhush verify")
        tail = os.pread(self._out, pages * self._page_bytes - end, number * self._page_bytes + end)
        if not any(tail):
            return False
        os.pwrite(self._out, bytes(len(tail)), number * self._page_bytes + end)
        return True

    def _check(self, walk: Walk) -> None:
        if walk.problems:
            raise StoreDamaged(f"{self.path} is damaged: {walk.problems[0]}; see: unhush verify")


# -- free pages


def _scrub_free(environment: Environment, cursor: int) -> tuple[int, int, int | None]:
    """One slice: pages overwritten, pages held back, and where to go on; None at the end."""
    done = held_back = 0
    goes_on: int | None = None
    try:
        with environment.write():
            began_s = time.monotonic()
            with _Writable(environment.folder) as file:
                free, held_back = file.free_now(environment.oldest_reader())
                # To read a long list takes a while; at least as long is for the pages on it.
                until_s = time.monotonic() + max(SLICE_S, time.monotonic() - began_s)
                for number in free:
                    if number < cursor:
                        continue
                    done += file.clear(number)
                    if time.monotonic() > until_s:
                        goes_on = number + 1
                        break
            raise _Undone
    except _Undone:
        return done, held_back, goes_on
