"""Reactions: one for each (account, target, emoji bytes), counted by emoji (PROTOCOL §4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage.folds import about
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.folds.places import Place, is_named_by, iter_aids, iter_places
from unhush.storage.journal import pack_aid
from unhush.storage.kinds import React
from unhush.storage.logs import pack_u32
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# People use a few, and anybody may make up others without end: so many are looked at, and so many told.
MAX_EMOJI_LOOKED_AT: Final = 4_096
MAX_EMOJI: Final = 256


@dataclass(frozen=True, slots=True)
class EmojiCount:
    """How many accounts reacted to something with one emoji."""

    emoji: str
    accounts: int


def put_reaction(txn: Txn, body: React, account: bytes, aid: int) -> None:
    tail, emoji = tail_of(body.to), body.emoji.encode()
    name = _name(tail, emoji)
    if not is_named_by(txn, Table.REACTIONS, name, account):
        _count(txn, tail, emoji, 1)
    txn.put(Table.REACTIONS, name + account + pack_aid(aid), b"")


def drop_reaction(txn: Txn, body: React, account: bytes, aid: int) -> None:
    tail, emoji = tail_of(body.to), body.emoji.encode()
    name = _name(tail, emoji)
    if txn.delete(Table.REACTIONS, name + account + pack_aid(aid)) and not is_named_by(
        txn, Table.REACTIONS, name, account
    ):
        _count(txn, tail, emoji, -1)


def _name(tail: bytes, emoji: bytes) -> bytes:
    return tail + bytes([len(emoji)]) + emoji


def _count(txn: Txn, tail: bytes, emoji: bytes, by: int) -> None:
    about.add(txn, tail, Relation.REACTIONS, by)
    counted = txn.get(Table.REACTION_COUNTS, tail + emoji)
    left = (int.from_bytes(counted, "big") if counted is not None else 0) + by
    if left:
        txn.put(Table.REACTION_COUNTS, tail + emoji, pack_u32(left))
    else:
        txn.delete(Table.REACTION_COUNTS, tail + emoji)


def counts_of(txn: Txn, to: Cid) -> list[EmojiCount]:
    """The commonest first, ``MAX_EMOJI`` at most."""
    tail = tail_of(to)
    if not about.count(txn, tail, Relation.REACTIONS):
        return []
    rows = islice(txn.scan(Table.REACTION_COUNTS, tail), MAX_EMOJI_LOOKED_AT)
    found = [EmojiCount(key[about.TAIL_BYTES :].decode(), int.from_bytes(value, "big")) for key, value in rows]
    return sorted(found, key=lambda each: (-each.accounts, each.emoji))[:MAX_EMOJI]


def iter_reactions(txn: Txn, to: Cid, emoji: str, after: Place | None = None) -> Iterator[tuple[Place, int]]:
    """Who reacted to something with one emoji."""
    return iter_places(txn, Table.REACTIONS, _name(tail_of(to), emoji.encode()), after)


def iter_reaction_aids(txn: Txn, to: Cid, emoji: str | None = None, account: bytes = b"") -> Iterator[int]:
    """Records of reactions to something: all, or those with one emoji, of one account."""
    return iter_aids(
        txn, Table.REACTIONS, tail_of(to) if emoji is None else _name(tail_of(to), emoji.encode()) + account
    )
