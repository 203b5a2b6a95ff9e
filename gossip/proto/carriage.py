"""Carriage: which accounts a peer carries, in a few bytes, for telling others (PROTOCOL §5, ``known``).

A Bloom filter: it may say yes where no is true, about once in a hundred, and
never the other way round. An account is in it if six bits are set, found by
the first 24 bytes of its digest. It is a claim like any other: it makes a peer
worth a try, and no more.
"""

from collections.abc import Collection
from struct import Struct
from typing import Final

from unhush.identity.cid import Cid

# 16 bytes suffice for a dozen accounts, 2 KiB for 1,600; sixteen of those and their addresses, an answer, are 36 KiB.
MIN_CARRIAGE_BYTES: Final = 16
MAX_CARRIAGE_BYTES: Final = 2_048
_BITS_PER_ACCOUNT: Final = 10

# A filter with more bits set than this tells nothing any more: who sent it might claim every account there is.
_MOST: Final = 0.75
# So many fill the longest one that far. Who carries more is told of without.
_MAX_ACCOUNTS: Final = 3_700

_HASHES: Final = Struct(">6I")


def pack_carriage(accounts: Collection[Cid]) -> bytes:
    """The filter that holds these accounts; empty if there are none, or more than it can tell apart."""
    if not 0 < len(accounts) <= _MAX_ACCOUNTS:
        return b""
    size = MIN_CARRIAGE_BYTES
    while size < MAX_CARRIAGE_BYTES and size * 8 < len(accounts) * _BITS_PER_ACCOUNT:
        size *= 2
    bits, mask = bytearray(size), 8 * size - 1
    for account in accounts:
        for at in _HASHES.unpack_from(account.digest):
            bits[(at & mask) >> 3] |= 1 << (at & 7)
    return bytes(bits)


def is_carriage(carriage: bytes) -> bool:
    """Whether these bytes are a filter at all."""
    size = len(carriage)
    return size == 0 or (MIN_CARRIAGE_BYTES <= size <= MAX_CARRIAGE_BYTES and size & (size - 1) == 0)


def says_something(carriage: bytes) -> bool:
    """Whether a filter tells accounts apart."""
    return 0 < int.from_bytes(carriage, "big").bit_count() < _MOST * 8 * len(carriage)


def may_carry(carriage: bytes, account: Cid) -> bool:
    """Whether the account is in the filter."""
    mask = 8 * len(carriage) - 1
    return mask > 0 and all(carriage[(at & mask) >> 3] >> (at & 7) & 1 for at in _HASHES.unpack_from(account.digest))
