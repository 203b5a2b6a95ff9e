"""The schema: every table there is, what its keys and values are, and the version of all of it.

Table formats are declared here and nowhere else; numbers in keys are
big-endian, so that byte order is number order.
"""

from enum import Enum
from typing import Final

SCHEMA_VERSION: Final = 3


class Table(Enum):
    """Every table: key → value. Digests are 32 bytes, numbers big-endian."""

    __hash__ = object.__hash__  # each is one object; that of Enum runs in Python, several times for each record

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
    USAGE = b"usage"  # account digest, or "all" → bytes u64 + records u64 in the journal
    # What this home decided to do without (room/): follows from no record.
    FLOORS = b"floors"  # log number → lowest seq u64 that is still wanted + tier u8 of the account then
    GRACE = b"grace"  # digest of a record that is to go → since when u64 ms
    WITHHELD = b"withheld"  # digest of a record whose body is done without on purpose → since u64 ms + reason
    ERASED = b"erased"  # digest of a record whose body was erased → digest of what its account took back
    # What people see (folds/): a position is shown time u64 ms + seq + aid, a tail the first 16 bytes of a digest.
    POSTS = b"posts"  # account number + shelf u8 + position → nothing
    SHELF_COUNTS = b"shelf-counts"  # account number + shelf → posts u32
    HOME = b"home"  # position → account number
    ABOUT = b"about"  # tail of any record → how many name it, by relation (folds/about.py)
    THREADS = b"threads"  # root tail + position of a reply → nothing
    ANSWERS = b"answers"  # parent tail + position of a reply → nothing
    REPLY_ROOTS = b"reply-roots"  # aid of a reply → tail of the root it names
    QUOTES = b"quotes"  # tail of the quoted + position of a post → nothing
    REPOSTS = b"reposts"  # tail of the reposted + account number + aid → nothing
    REACTIONS = b"reactions"  # tail of the target + length u8 of the emoji + emoji + account number + aid → nothing
    REACTION_COUNTS = b"reaction-counts"  # tail of the target + emoji → accounts u32
    TAGS = b"tags"  # digest of the folded tag, 16 bytes + position of a post → nothing
    FOLLOWS = b"follows"  # account number + who digest + aid → nothing
    FOLLOWERS = b"followers"  # who digest + account number + aid → nothing
    KEEPERS = b"keepers"  # account number + who digest + aid: asked to keep the account → nothing
    WARDS = b"wards"  # who digest + account number + aid: whom somebody is asked to keep → nothing
    BLOCKS = b"blocks"  # account number + who digest + aid → nothing
    PROFILES = b"profiles"  # account number + time u64 + entry digest → aid
    DELETED = b"deleted"  # account digest + target digest + aid of the delete → nothing
    EDITS = b"edits"  # account digest + target digest + time u64 + digest of the edit → aid
    LABELS = b"labels"  # digest of what is labelled + account number + aid → nothing
    REBUTTALS = b"rebuttals"  # digest of the label + account number + aid → nothing
    MINE = b"mine"  # tail of a record of the own account that is shown → nothing
    ACTIVITY = b"activity"  # position of somebody else's record + reason u8 → nothing
    BLOB_REFS = b"blob-refs"  # blob digest + aid of a record that names it → nothing
    TEXT_DUE = b"text-due"  # aid of a post of which other words, or none, are shown now → nothing
    # What is nobody else's business, kept here and never published.
    PETNAMES = b"petnames"  # account digest → text
    SHUNNED = b"shunned"  # account digest → muted, blocked or both u8
    LISTS = b"lists"  # name of a list + 0 + account digest → nothing; name + 0 alone: the list itself
    CONTACTS = b"contacts"  # multiaddr text → contact (contacts.py)
    INVITES = b"invites"  # hash of a token → an invite this home gave (invites.py)
    ACCEPTED = b"accepted"  # account digest of who invited → the acceptance (invites.py)
    # Keeping (keeping/): what is signed outside the logs, and what this home promised.
    STATEMENTS = b"statements"  # whom it is about + type u8 + who says it + key + subject → the statement
    STATEMENT_LOG = b"statement-log"  # n u64, in the order gained → the key of the statement
    STATEMENT_CURSORS = b"statement-cursors"  # peer text → epoch of 8 bytes + n u64 + stamp u64
    SPEAKERS = b"speakers"  # account digest + operation digest, of no account held → length u16 + entry + body
    PROMISES = b"promises"  # account digest → the promise to keep it (keeping/promises.py)
    PROOFS = b"proofs"  # account digest + keeper digest + passed u8 → the newest such challenge (keeping/proofs.py)
