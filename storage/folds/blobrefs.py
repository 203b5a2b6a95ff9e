"""References to blobs: which records name each, so that gc keeps what somebody may still look at.

All versions of a post keep theirs, for all stay readable. A deleted record
keeps its own until its body is erased: a delete that falls out of force gives
back the pictures too.
"""

from collections.abc import Iterator
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import Body, Edit, Post, Profile
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# The keys of bodies under which blobs are named, as they are written (DAG-CBOR: a head and the letters).
_KEYS: Final = (b"\x65media", b"\x66avatar", b"\x66banner")


def may_name_blobs(body: bytes) -> bool:
    """Whether a body is worth parsing for what it names; most name nothing, and this is seen without reading them."""
    return any(key in body for key in _KEYS)


def blobs_of(body: Body | None) -> tuple[Cid, ...]:
    """Every blob a body names: raw blocks and manifests."""
    match body:
        case Post():
            return tuple(item.cid for item in body.media)
        case Edit():
            return tuple(item.cid for item in body.post.media)
        case Profile():
            return tuple(blob for blob in (body.avatar, body.banner) if blob is not None)
        case _:
            return ()


def put_refs(txn: Txn, body: Body | None, aid: int) -> None:
    for blob in blobs_of(body):
        txn.put(Table.BLOB_REFS, blob.digest + pack_aid(aid), b"")


def drop_refs(txn: Txn, body: Body | None, aid: int) -> None:
    for blob in blobs_of(body):
        txn.delete(Table.BLOB_REFS, blob.digest + pack_aid(aid))


def iter_ref_aids(txn: Txn, blob: Cid) -> Iterator[int]:
    """The records that name a blob."""
    for key, _ in txn.scan(Table.BLOB_REFS, blob.digest):
        yield int.from_bytes(key[32:], "big")
