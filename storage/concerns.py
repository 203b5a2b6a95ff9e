"""Whom a record concerns: who is answered, mentioned, followed, asked to keep its account, or reacted to (PROTOCOL §5).

What a record says of that is its author's word, and good enough to tell who may want to see it: the account beside a
link only says whom to ask. Nothing else follows from it. Threads and activity look at the records themselves.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from unhush.identity.cid import Cid
from unhush.storage import accounts, journal, logs, serving, standing
from unhush.storage.folds import about, deletes, edits, follows, keepers, quotes, reactions, reposts, threads
from unhush.storage.folds.about import Relation, tail_of
from unhush.storage.indexes import find_body
from unhush.storage.kinds import (
    DELETE,
    EDIT,
    FOLLOW,
    KEEPER,
    POST,
    REACT,
    REPOST,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Post,
    React,
    Repost,
)
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Keys in the bytes of a post that names somebody; a look at them spares most posts the parse.
_REPLY: Final = b"\x65reply"
_QUOTE: Final = b"\x65quote"
_MENTIONS: Final = b"\x68mentions"

# Records of an account that are looked at for what others did with them, newest first, and what is told of each.
_RECORDS: Final = 100
_OF_EACH: Final = 50
# Followers told, and those who ask to be kept, the last that became known here.
_FOLLOWERS: Final = 50
_WARDS: Final = 50
# Of all these so many are looked at, the newest; each takes some 80 microseconds.
_LOOKED_AT: Final = 1_000
_AT_A_TIME: Final = 64
# Rows of the journal in which an account is looked for by its digest: a mention stands in no index. Ten milliseconds.
TAIL_ROWS: Final = 8_000
_ROW_HEAD: Final = 11  # of a row of the journal, before the entry block; its last two bytes are the block's length


def find_concerned(author: Cid, body: Body | None) -> tuple[Cid, ...]:
    """The accounts a body names, each once, without its author; those it answers first."""
    named: list[Cid] = []
    match body:
        case Post():
            if body.reply is not None:
                named += [body.reply.parent_account, body.reply.root_account]
            if body.quote is not None:
                named.append(body.quote.account)
            named += body.mentions
        case Edit():
            named += body.post.mentions
        case Repost() | React():
            named.append(body.account)
        case Follow() | Keeper():
            named.append(body.who)
        case _:
            pass
    return tuple(dict.fromkeys(who for who in named if who != author))


def may_concern(kind: str, body: bytes | None) -> bool:
    """A cheap look: False only if the record concerns nobody."""
    if body is None:
        return False
    if kind == POST:
        return _REPLY in body or _QUOTE in body or _MENTIONS in body
    return kind in (REACT, REPOST, FOLLOW, KEEPER, DELETE, EDIT)


def concerned_by(txn: Txn, record: Record) -> tuple[Cid, ...]:
    """As ``find_concerned``; what changes or takes back a record concerns whom that does."""
    if not may_concern(record.kind, record.body):
        return ()
    body = find_body(record)
    named = find_concerned(record.account, body)
    target = find_target(txn, record.account, body)
    if target is not None:
        named = tuple(dict.fromkeys((*named, *find_concerned(record.account, find_body(target)))))
    return named


def find_target(txn: Txn, author: Cid, body: Body | None) -> Record | None:
    """The record held here, of the same account, that a body changes or takes back."""
    if not isinstance(body, Delete | Edit):
        return None
    target = journal.find_record_by_cid(txn, body.of)
    return target if target is not None and target.account == author else None


# -- what is told to whoever asks


def iter_concerning(txn: Txn, account: Cid) -> Iterator[Record]:
    """What others did with an account and its newest records; most of it, the newest first.

    Mentions are not among it: ``iter_naming`` has the newest.
    """
    known = accounts.find_account(txn, account)
    if known is None:
        return
    aids = set(islice(follows.iter_newest_follower_aids(txn, account), _FOLLOWERS))
    aids.update(islice(keepers.iter_newest_ward_aids(txn, account), _WARDS))
    for mine in islice(_iter_newest(txn, known), _RECORDS):
        named = about.find_about(txn, tail_of(mine.cid))
        for relation, find_aids in (
            (Relation.ANSWERS, threads.iter_newest_answer_aids),
            (Relation.REACTIONS, reactions.iter_reaction_aids),
            (Relation.REPOSTS, reposts.iter_repost_aids),
            (Relation.QUOTES, quotes.iter_quote_aids),
        ):
            if named is not None and named[relation]:
                aids.update(islice(find_aids(txn, mine.cid), _OF_EACH))
    newest = sorted(aids, reverse=True)[:_LOOKED_AT]
    for at in range(0, len(newest), _AT_A_TIME):
        for record in serving.find_records(txn, newest[at : at + _AT_A_TIME]):
            if record is not None and record.account != account:
                yield record


def _iter_newest(txn: Txn, account: accounts.Account) -> Iterator[Record]:
    """The newest records shown of each device of an account."""
    for _, key, log in logs.iter_logs(txn, account.id):
        span = standing.span_of(txn, log, account.state.cut_of(key))
        for slot in islice(logs.iter_slots_down(txn, log, span.high), _RECORDS):
            record = serving.find_record(txn, slot.aid) if slot.seq in span else None
            if record is not None:
                yield record


def iter_naming(txn: Txn, account: Cid) -> Iterator[Record]:
    """Of the newest records here those whose body names an account, newest first."""
    looked_at = 0
    for key, row in islice(txn.scan_down(Table.JOURNAL), TAIL_ROWS):
        block_end = _ROW_HEAD + int.from_bytes(row[_ROW_HEAD - 2 : _ROW_HEAD], "big")
        if row.find(account.digest, block_end) < 0:
            continue
        if looked_at == _LOOKED_AT:
            return
        looked_at += 1
        record = serving.find_record(txn, int.from_bytes(key, "big"))
        if record is not None and account in find_concerned(record.account, find_body(record)):
            yield record


def find_change(txn: Txn, record: Record) -> Record | None:
    """What its author made of a record since: the delete, or else the newest edit."""
    if deletes.is_deleted(txn, record):
        aid = deletes.find_delete(txn, record)
        return serving.find_record(txn, aid) if aid is not None else None
    return edits.find_newest(txn, record)


def find_by_point(txn: Txn, point: bytes) -> Record | None:
    """The record whose digest begins so, if one is held."""
    found = next(iter(txn.scan(Table.IDS, point)), None)
    return serving.find_record(txn, int.from_bytes(found[1], "big")) if found is not None else None
