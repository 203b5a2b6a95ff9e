"""Taking away blobs that no shown record names.

What is named stands in ``BLOB_REFS``; a manifest that is named keeps its
chunks. A young file stays whatever names it: an import may be under way, and
its record is written last. A file is looked at and taken away in one step that
excludes imports, in this process and in others. Only what a person wants gone
goes at once, however young (``at_once``).
"""

import time
from collections.abc import Set
from dataclasses import dataclass

from unhush.storage.blobs.blobs import Blobs
from unhush.storage.blobs.folder import DigestFolder
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep took away, or would."""

    blocks: int
    size_bytes: int
    leftovers: int  # half-written files of killed processes


def sweep(
    blobs: Blobs,
    txn: Txn,
    *,
    older_than_s: float,
    dry_run: bool,
    thumbs: DigestFolder | None = None,
    at_once: Set[bytes] = frozenset(),
) -> Swept:
    """Remove what no shown record names and nobody wrote or held on to for ``older_than_s``.

    Whoever attaches a blob has that long to write the record that names it; blobs of the digests ``at_once`` do not
    wait. Small pictures in ``thumbs`` go with what they show. Raises ``BlobsUnusable``.
    """
    before_s = time.time() - older_than_s
    named = find_named(blobs, txn)
    gone = set(at_once).union(*map(blobs.find_chunks, at_once))
    removed = size_bytes = 0
    for folder, files in (
        (blobs.folder, [file for file in blobs.iter_blocks() if file[0] not in named]),
        (thumbs, _unnamed_in(thumbs, txn)),
    ):
        for digest, size in files:
            assert folder is not None
            if digest in gone:
                is_gone = dry_run or folder.remove(digest)
            else:
                changed_at_s = folder.changed_at_s(digest)
                is_old = changed_at_s is not None and changed_at_s < before_s
                is_gone = is_old and (dry_run or folder.remove_old(digest, before_s))
            if is_gone:
                removed += 1
                size_bytes += size
    for digest, size in list(blobs.folder.iter_aside()):
        # What is left of a damaged block is kept while it is wanted and no whole one has come.
        if blobs.folder.size(digest) is not None or not (digest in named or is_named(txn, digest)):
            removed += 1
            size_bytes += size
            if not dry_run:
                blobs.folder.remove_aside(digest)
    leftovers = 0 if dry_run else blobs.folder.sweep_leftovers()
    return Swept(removed, size_bytes, leftovers)


def find_named(blobs: Blobs, txn: Txn) -> set[bytes]:
    """The digests of the blobs here that records name, and of their chunks: 32 bytes for each 256 KiB kept, or less."""
    named: set[bytes] = set()
    for digest, _ in blobs.iter_blocks():
        if is_named(txn, digest):
            named.add(digest)
            named.update(blobs.find_chunks(digest))
    return named


def _unnamed_in(thumbs: DigestFolder | None, txn: Txn) -> list[tuple[bytes, int]]:
    if thumbs is None:
        return []
    return [(digest, thumbs.size(digest) or 0) for digest in thumbs.iter_digests() if not is_named(txn, digest)]


def is_named(txn: Txn, digest: bytes) -> bool:
    """Whether a record names the blob of this digest."""
    return any(True for _ in txn.scan(Table.BLOB_REFS, digest))
