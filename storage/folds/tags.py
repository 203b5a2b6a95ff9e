"""Tags: posts by what their authors call them, newest first; compared casefolded and in NFKC, here alone."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final
from unicodedata import normalize

from unhush.storage.folds.timeline import Position, unpack_position
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Folding can make a tag ten times as long, and keys have a bound: rows are filed under a hash.
_DIGEST_BYTES: Final = 16


def fold_tag(tag: str) -> str:
    """The form in which tags are the same: NFKC, casefolded, and NFKC again for what folding took apart."""
    return normalize("NFKC", normalize("NFKC", tag).casefold())


def _digest(tag: str) -> bytes:
    return sha256(fold_tag(tag).encode()).digest()[:_DIGEST_BYTES]


def put_tags(txn: Txn, tags: Iterable[str], at: bytes) -> None:
    for tag in tags:
        txn.put(Table.TAGS, _digest(tag) + at, b"")


def drop_tags(txn: Txn, tags: Iterable[str], at: bytes) -> None:
    for tag in tags:
        txn.delete(Table.TAGS, _digest(tag) + at)


def iter_tagged(txn: Txn, tag: str, before: Position | None = None) -> Iterator[Position]:
    digest = _digest(tag)
    for key, _ in txn.scan_down(Table.TAGS, digest, before=digest + before.pack() if before else None):
        yield unpack_position(key[_DIGEST_BYTES:])
