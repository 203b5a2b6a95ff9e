"""The folds: everything people see that is worked out from the journal, and in which tables it is kept.

Each is a function of the set of records that are shown (in force, on the shown
branch, with their body), of what of them is deleted, and of the own account;
never of the order in which they came. So each can be emptied and filled anew
from the journal with the same bytes as a result (``rebuilding.py``).
"""

from dataclasses import dataclass
from itertools import chain
from typing import Final

from unhush.storage.schema import Table


@dataclass(frozen=True, slots=True)
class Fold:
    """One of them: ``does`` says what a row stands for."""

    name: str
    tables: tuple[Table, ...]
    does: str


FOLDS: Final = (
    Fold("account timelines", (Table.POSTS, Table.SHELF_COUNTS), "posts and reposts of each account, by shelf"),
    Fold("home timeline", (Table.HOME,), "posts and reposts of the own account and those it follows"),
    Fold("numbers", (Table.ABOUT,), "how many records name a record or an account"),
    Fold("threads", (Table.THREADS, Table.ANSWERS, Table.REPLY_ROOTS), "replies by root and by parent"),
    Fold("quotes", (Table.QUOTES,), "posts by what they quote"),
    Fold("reposts", (Table.REPOSTS,), "reposts by what they repeat"),
    Fold("reactions", (Table.REACTIONS, Table.REACTION_COUNTS), "one for each account, target and emoji"),
    Fold("tags", (Table.TAGS,), "posts by folded tag"),
    Fold("follows", (Table.FOLLOWS, Table.FOLLOWERS), "who follows whom, both ways"),
    Fold("keepers", (Table.KEEPERS, Table.WARDS), "who asks whom to keep the account, both ways"),
    Fold("blocks", (Table.BLOCKS,), "blocks that were published"),
    Fold("profiles", (Table.PROFILES,), "profiles of each account by (time, CID)"),
    Fold("deletes", (Table.DELETED,), "what accounts took back, held or not"),
    Fold("edits", (Table.EDITS,), "versions of posts by (time, CID), their post held or not"),
    Fold("labels", (Table.LABELS, Table.REBUTTALS), "labels by what they are on, rebuttals by label"),
    Fold("activity", (Table.MINE, Table.ACTIVITY), "what others did with the own account and its records"),
    Fold("blob references", (Table.BLOB_REFS,), "records that name a blob, also deleted ones whose body is still here"),
)

FOLD_TABLES: Final = tuple(chain.from_iterable(fold.tables for fold in FOLDS))
