"""The schema: every table there is, what its keys and values are, and the version of all of it.

Table formats are declared here and nowhere else; numbers in keys are
big-endian, so that byte order is number order.
"""

from enum import Enum
from typing import Final

SCHEMA_VERSION: Final = 1


class Table(Enum):
    """Every table: key → value. Digests are 32 bytes, numbers big-endian."""

    META = b"meta"  # text → bytes
    JOURNAL = b"journal"  # aid u64 → row (records.py)
    IDS = b"ids"  # entry digest → aid
    ACCOUNTS = b"accounts"  # account digest → account number u32 + state (accounts.py)
    OPERATIONS = b"operations"  # account digest + operation digest → aid
    LOG_NUMBERS = b"log-numbers"  # account digest + key → log number u32
    LOGS = b"logs"  # log number → account digest + key
    RUNS = b"runs"  # log number + lowest seq of a held run u64 → highest seq u64
    SLOTS = b"slots"  # log number + seq → aid + entry digest
    FORKS = b"forks"  # log number + seq + entry digest → aid
    PROVEN = b"proven"  # log number → lowest seq u64 that held links reach from the log's cut
    ROOTS = b"roots"  # root key 0 + account digest → nothing
    BODILESS = b"bodiless"  # aid → body state u8
    POSTS = b"posts"  # account number + position (shown time u64 ms + seq + aid) → nothing
    HOME = b"home"  # position → account number
    THREADS = b"threads"  # root digest + position → nothing
    FOLLOWS = b"follows"  # account number + who digest + aid → nothing
    PROFILES = b"profiles"  # account number + time u64 + entry digest → aid
    DELETED = b"deleted"  # account digest + target digest + aid of the delete → nothing
    PETNAMES = b"petnames"  # account digest → text
    CONTACTS = b"contacts"  # multiaddr text → contact (contacts.py)
