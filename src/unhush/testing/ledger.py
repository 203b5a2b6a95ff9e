"""What every node finds when it looks at the same bytes, worked out once for all of them.

Whether a block is well-formed, a signature good and a body the one named are
functions of bytes. A thousand virtual nodes would work them out a thousand
times; here the first does. The rules are those of ``unhush.identity`` and
nothing is taken on trust.
"""

from functools import lru_cache

from unhush.gossip.proto.hints import Hint, MalformedHint, parse_hint
from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, check_body, decode_body, is_signed, parse_entry, verify_signature
from unhush.identity.errors import IdentityError, UnhushError
from unhush.identity.operations import Op, Table, parse_operation
from unhush.storage.concerns import find_concerned
from unhush.storage.kinds import Body, parse_body

# Records of a few runs; each is some 2 KiB here.
MAX_RECORDS = 65_536


@lru_cache(maxsize=MAX_RECORDS)
def find_entry(block: bytes) -> UnverifiedEntry | None:
    """The entry in these bytes; None if there is none."""
    try:
        return parse_entry(block)
    except IdentityError:
        return None


@lru_cache(maxsize=MAX_RECORDS)
def is_signed_well(block: bytes, network: str) -> bool:
    """Whether a well-formed entry bears its key's signature on this network."""
    entry = find_entry(block)
    return entry is not None and is_signed(block, entry.header.key, network)


@lru_cache(maxsize=MAX_RECORDS)
def is_body_of(block: bytes, body: bytes) -> bool:
    """Whether these are the bytes a well-formed entry names as its body."""
    entry = find_entry(block)
    if entry is None:
        return False
    try:
        check_body(entry.header, body)
    except IdentityError:
        return False
    return True


@lru_cache(maxsize=MAX_RECORDS)
def find_operation(block: bytes, body: bytes, network: str) -> Table | Op | None:
    """The identity operation in these bytes, if its signature is good and it says something."""
    entry = find_entry(block)
    if entry is None:
        return None
    try:
        return parse_operation(verify_signature(entry, network), body)
    except IdentityError:
        return None


@lru_cache(maxsize=MAX_RECORDS)
def find_body(kind: str, body: bytes) -> Body | None:
    """What the body of a record says, if it is of a kind we know and keeps its rules."""
    try:
        return parse_body(kind, decode_body(body))
    except UnhushError:
        return None


@lru_cache(maxsize=MAX_RECORDS)
def concerned_by(author: Cid, kind: str, body: bytes) -> tuple[Cid, ...]:
    """The accounts a record concerns besides its author's."""
    return find_concerned(author, find_body(kind, body))


@lru_cache(maxsize=4_096)
def find_hint(data: bytes, network: str) -> Hint | None:
    """A gossip message, if an honest node may have made it."""
    try:
        return parse_hint(data, network)
    except MalformedHint:
        return None
