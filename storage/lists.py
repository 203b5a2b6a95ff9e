"""Lists: named groups of accounts to read by themselves. They live in this home and are told to nobody.

PROTOCOL §4 knows no record for them; docs/decisions/0015 says why it stays so.
"""

from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage.errors import BadListName, ListFull, NotFound
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

MAX_LISTS: Final = 256
# A list is merged while it is read, with a cursor for each member.
MAX_MEMBERS: Final = 500
MAX_LIST_NAME_BYTES: Final = 100

_END: Final = b"\x00"  # of the name: no name contains it


def put_list(txn: Txn, name: str) -> None:
    """Make a list, if there is none of that name; raises ``BadListName`` and ``ListFull``."""
    key = _key(name)
    if txn.get(Table.LISTS, key) is None:
        if len(iter_lists(txn)) >= MAX_LISTS:
            raise ListFull(f"there are {MAX_LISTS} lists already")
        txn.put(Table.LISTS, key, b"")


def drop_list(txn: Txn, name: str) -> bool:
    """Forget a list and who is on it; False if there is none."""
    rows = [row for row, _ in txn.scan(Table.LISTS, _key(name))]
    for row in rows:
        txn.delete(Table.LISTS, row)
    return bool(rows)


def put_member(txn: Txn, name: str, who: Cid) -> None:
    """Raises ``NotFound`` for a list that is not there, ``ListFull``."""
    members = iter_members(txn, name)
    if who not in members and len(members) >= MAX_MEMBERS:
        raise ListFull(f"the list {name!r} has {MAX_MEMBERS} members already")
    txn.put(Table.LISTS, _key(name) + who.digest, b"")


def drop_member(txn: Txn, name: str, who: Cid) -> bool:
    """False if they were not on it."""
    return txn.delete(Table.LISTS, _key(name) + who.digest)


def iter_lists(txn: Txn) -> list[str]:
    """The names of all lists, in the order of their bytes."""
    return [key[:-1].decode() for key, _ in txn.scan(Table.LISTS) if key.endswith(_END) and key.count(_END) == 1]


def iter_members(txn: Txn, name: str) -> list[Cid]:
    """Raises ``NotFound`` for a list that is not there."""
    key = _key(name)
    if txn.get(Table.LISTS, key) is None:
        raise NotFound(f"there is no list {name!r}")
    return [cid_of_digest(row[len(key) :]) for row, _ in txn.scan(Table.LISTS, key) if len(row) > len(key)]


def _key(name: str) -> bytes:
    """Raises ``BadListName``."""
    try:
        packed = name.encode()
    except UnicodeEncodeError as exc:
        raise BadListName("the name of a list is not valid Unicode text") from exc
    if not name.strip() or not name.isprintable() or len(packed) > MAX_LIST_NAME_BYTES:
        raise BadListName(
            f"no name for a list: {name[:60]!r}; printable text of at most {MAX_LIST_NAME_BYTES} bytes is"
        )
    return packed + _END
