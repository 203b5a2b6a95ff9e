"""Reading a database file page by page, in Python, trusting no page.

LMDB has no checksums, and a damaged page can end the process that reads it.
So what checks a home, and what saves the rows of a broken one, reads the file
itself, in the format that ``lib_version=0`` pins (LMDB 0.9, little-endian, 64
bits): two meta pages, then B-trees of branch and leaf pages, long values in
runs of overflow pages, and the list of free pages as a tree of its own. Every
offset is checked before it is used, and no page is read twice: the walk ends,
whatever the file holds.
"""

import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from unhush.storage.errors import StoreDamaged

_HEAD: Final = struct.Struct("<QHHHH")  # page number, padding, flags, end of the offsets, start of the nodes
_PAGES: Final = struct.Struct("<I")  # of an overflow page, at 12: how many pages the value has
_NODE: Final = struct.Struct("<HHHH")  # low and high half of a size, flags, key size
_TREE: Final = struct.Struct("<IHHQQQQQ")  # page size, flags, depth, branch, leaf, overflow pages, rows, root
_META: Final = struct.Struct("<IIQQ")  # magic, version, address, map size
_META_END: Final = struct.Struct("<QQ")  # last page, transaction
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8
_BIG, _SUBTREE = 1, 2  # flags of a node: its value is on overflow pages; is the head of a tree
_NO_PAGE: Final = 2**64 - 1
_MAX_DEPTH: Final = 32  # CURSOR_STACK
_PAGE_BYTES: Final = frozenset(1 << bits for bits in range(9, 17))
_MAX_PROBLEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Tree:
    """The head of one B-tree."""

    flags: int
    depth: int
    entries: int
    root: int


@dataclass(frozen=True, slots=True)
class Meta:
    """What a meta page says."""

    page_bytes: int
    free: Tree
    main: Tree
    last_page: int
    txn_id: int


@dataclass(slots=True)
class Walk:
    """What was found on the way: pages by use, rows, and the first problems in words."""

    pages: int = 0
    rows: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list)

    def find(self, problem: str) -> None:
        self.damaged += 1
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)


def is_readable_here() -> bool:
    """Whether this machine writes databases in the format this file reads."""
    return sys.byteorder == "little" and sys.maxsize > 2**32


class PageFile:
    """One database file under a folder; raises ``StoreDamaged`` if not even a meta page can be read.

    ``txn_id`` picks the state of a transaction that is still the newest or the one before; else it is the newest.
    """

    def __init__(self, folder: Path, txn_id: int | None = None) -> None:
        self.path = folder / "data.mdb"
        self._file = self.path.open("rb")
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            metas = [meta for meta in self._metas() if txn_id in (None, meta.txn_id)]
            if not metas:
                raise StoreDamaged(f"no page of {self.path} says where its tables begin")
            self.meta = max(metas, key=lambda meta: meta.txn_id)
        except BaseException:
            self._file.close()
            raise
        self._page_bytes = self.meta.page_bytes
        self._count = min(self._size // self._page_bytes, self.meta.last_page + 1)
        # Read, not mapped: a file that is cut short meanwhile is an error here and not the end of the process.
        self._used = bytearray(self._count)

    def __enter__(self) -> "PageFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    # -- where everything begins

    def _metas(self) -> Iterator[Meta]:
        sizes = {mmap.PAGESIZE, 4096} | {size for size in _PAGE_BYTES if size > 2048}
        seen = set()
        for at in (0, *sorted(sizes)):
            meta = self._parse_meta(os.pread(self._file.fileno(), 4096, at))
            if meta is not None and at in (0, meta.page_bytes) and meta.txn_id not in seen:
                seen.add(meta.txn_id)
                yield meta

    def _parse_meta(self, page: bytes) -> Meta | None:
        at = _HEAD.size
        if len(page) < at + _META.size + 2 * _TREE.size + _META_END.size or not _HEAD.unpack_from(page)[2] & _META_PAGE:
            return None
        magic, version, _, _ = _META.unpack_from(page, at)
        at += _META.size
        free, main = (_TREE.unpack_from(page, at + place * _TREE.size) for place in range(2))
        last_page, txn_id = _META_END.unpack_from(page, at + 2 * _TREE.size)
        if (magic, version) != (_MAGIC, _VERSION) or free[0] not in _PAGE_BYTES:
            return None
        return Meta(free[0], _tree(free), _tree(main), last_page, txn_id)

    # -- tables

    def tables(self, walk: Walk) -> dict[bytes, Tree]:
        """The tables there are, by name, as far as that can be read."""
        found = {}
        for name, value, flags in self._rows(self.meta.main, "the list of tables", walk):
            if not flags & _SUBTREE or len(value) != _TREE.size:
                walk.find(f"the table {name!r} has no head")
            else:
                found[name] = _tree(_TREE.unpack(value))
        return found

    def rows(self, name: str, tree: Tree, walk: Walk) -> Iterator[tuple[bytes, bytes]]:
        """Every row of a table that can be read; what cannot is noted in ``walk``."""
        for key, value, _ in self._rows(tree, name, walk):
            yield key, value

    def _rows(self, tree: Tree, name: str, walk: Walk) -> Iterator[tuple[bytes, bytes, int]]:
        count = 0
        before: bytes | None = None
        if tree.root != _NO_PAGE:
            for key, value, flags in self._walk(tree.root, tree.depth, name, walk):
                if not _is_above(key, before, is_number=bool(tree.flags & 8)):
                    walk.find(f"{name}: keys are out of order")
                before = key
                count += 1
                yield key, value, flags
        if count != tree.entries:
            walk.find(f"{name}: {tree.entries} rows are counted, {count} can be read")
        walk.rows += count

    def _walk(self, root: int, depth: int, name: str, walk: Walk) -> Iterator[tuple[bytes, bytes, int]]:
        """Leaves from left to right. The depth is not trusted either, it only bounds."""
        stack = [(root, 1)]
        while stack:
            number, level = stack.pop()
            page = self._take(number, name, walk)
            if page is None:
                continue
            flags = _HEAD.unpack_from(page)[2]
            if level > min(depth, _MAX_DEPTH) or (flags & _BRANCH and flags & _LEAF) or not flags & (_BRANCH | _LEAF):
                walk.find(f"{name}: page {number} is none of a tree")
            elif flags & _BRANCH:
                stack += [(child, level + 1) for child in reversed(self._children(page, number, name, walk))]
            else:
                yield from self._leaf(page, number, name, walk)
            if flags & _LEAF and level < depth:
                walk.find(f"{name}: page {number} stands too high")

    def _take(self, number: int, name: str, walk: Walk) -> bytes | None:
        if number < 2 or number >= self._count:
            walk.find(f"{name}: page {number} is not in the file")
            return None
        if self._used[number]:
            walk.find(f"{name}: page {number} is used twice")
            return None
        self._used[number] = 1
        walk.pages += 1
        page = self._page(number)
        if len(page) < self._page_bytes or _HEAD.unpack_from(page)[0] != number:
            walk.find(f"{name}: page {number} is another one")
            return None
        return page

    def _page(self, number: int, pages: int = 1) -> bytes:
        return os.pread(self._file.fileno(), pages * self._page_bytes, number * self._page_bytes)

    def _nodes(self, page: bytes, number: int, name: str, walk: Walk) -> Iterator[tuple[int, int, int, int]]:
        """Offset, size, flags and key size of every node whose key is inside its page."""
        _, _, _, lower, upper = _HEAD.unpack_from(page)
        if not _HEAD.size <= lower <= upper <= self._page_bytes or lower % 2:
            walk.find(f"{name}: page {number} has no order")
            return
        for (at,) in struct.iter_unpack("<H", page[_HEAD.size : lower]):
            if at < upper or at + _NODE.size > self._page_bytes or at % 2:
                walk.find(f"{name}: page {number} points outside itself")
                continue
            low, high, flags, key_size = _NODE.unpack_from(page, at)
            if at + _NODE.size + key_size > self._page_bytes:
                walk.find(f"{name}: a key of page {number} is longer than its page")
                continue
            yield at, low | high << 16, flags, key_size

    def _children(self, page: bytes, number: int, name: str, walk: Walk) -> list[int]:
        return [size | flags << 32 for _, size, flags, _ in self._nodes(page, number, name, walk)]

    def _leaf(self, page: bytes, number: int, name: str, walk: Walk) -> Iterator[tuple[bytes, bytes, int]]:
        for at, size, flags, key_size in self._nodes(page, number, name, walk):
            start = at + _NODE.size + key_size
            key = page[at + _NODE.size : start]
            if flags & ~(_BIG | _SUBTREE):
                walk.find(f"{name}: a row of page {number} is of no known sort")
            elif flags & _BIG:
                value = self._long_value(page[start : start + 8], size, name, walk)
                if value is not None:
                    yield key, value, flags
            elif start + size > self._page_bytes:
                walk.find(f"{name}: a row of page {number} is longer than its page")
            else:
                yield key, page[start : start + size], flags

    def _long_value(self, pointer: bytes, size: int, name: str, walk: Walk) -> bytes | None:
        number = int.from_bytes(pointer, "little")
        pages = -(-(size + _HEAD.size) // self._page_bytes)
        if len(pointer) < 8 or number < 2 or number + pages > self._count:
            walk.find(f"{name}: a long value is not in the file")
            return None
        if any(self._used[number : number + pages]):
            walk.find(f"{name}: page {number} is used twice")
            return None
        found = self._page(number, pages)
        head, held = _HEAD.unpack_from(found), _PAGES.unpack_from(found, 12)[0]
        if head[0] != number or not head[2] & _OVERFLOW or not pages <= held <= self._count - number:
            walk.find(f"{name}: page {number} holds no long value")
            return None
        self._used[number : number + held] = b"\x01" * held
        walk.pages += held
        return found[_HEAD.size : _HEAD.size + size]

    # -- what no tree leads to

    def free_pages(self, walk: Walk) -> set[int]:
        """The pages that the next transactions may write on; one that a table uses would be lost then."""
        free: set[int] = set()
        for _, value, _ in self._rows(self.meta.free, "the list of free pages", walk):
            numbers = [number for (number,) in struct.iter_unpack("<Q", value[: len(value) // 8 * 8])]
            if not numbers or numbers[0] != len(numbers) - 1:
                walk.find("the list of free pages is damaged")
                continue
            free.update(numbers[1:])
        return free

    def check_free(self, free: set[int], walk: Walk) -> None:
        """To be called after every table was walked."""
        for number in free:
            if number < 2 or number > self.meta.last_page:
                walk.find(f"page {number} is called free and is not in the file")
            elif number < self._count and self._used[number]:
                walk.find(f"page {number} is called free and is used")

    def stray_rows(self, free: set[int]) -> Iterator[tuple[bytes, bytes]]:
        """Rows of leaf pages that no tree led to and that are not free: what hung on a damaged branch."""
        unheard = Walk()
        for number in range(2, self._count):
            if self._used[number] or number in free:
                continue
            page = self._page(number)
            if len(page) == self._page_bytes and _HEAD.unpack_from(page)[2] & 0xFF in (_LEAF, _LEAF | 0x10):
                for key, value, _ in self._leaf(page, number, "", unheard):
                    yield key, value


def check_pages(folder: Path, txn_id: int | None = None, on_progress: Callable[[int], None] = lambda _: None) -> Walk:
    """Walk every table of a database file; raises ``StoreDamaged`` if nothing of it can be walked.

    While others write, the caller holds a snapshot of the transaction ``txn_id``, so that its pages stay.
    """
    walk = Walk()
    with PageFile(folder, txn_id) as file:
        free = file.free_pages(walk)
        for name, tree in file.tables(walk).items():
            for _ in file.rows(name.decode(errors="replace"), tree, walk):
                pass
            on_progress(walk.rows)
        file.check_free(free, walk)
    return walk


def _tree(fields: tuple[int, ...]) -> Tree:
    _, flags, depth, _, _, _, entries, root = fields
    return Tree(flags, depth, entries, root)


def _is_above(key: bytes, before: bytes | None, *, is_number: bool) -> bool:
    if before is None:
        return True
    if is_number:  # MDB_INTEGERKEY: the list of free pages
        return int.from_bytes(key, "little") > int.from_bytes(before, "little")
    return key > before
