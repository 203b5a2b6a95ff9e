"""The naive oracle: what every index should say, worked out from the bare set of records.

It reads nothing but record blocks and bodies, keeps no state and is too slow
for anything but tests. Records must be authentic. What is shown of logs that
are cut or forked is given as a set: ``expected_standings`` tells it for cut
logs, and for open ones the slots do.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.identity.trunk import Standing, State, judge
from unhush.storage import indexes, journal
from unhush.storage.accounts import find_account
from unhush.storage.indexes import find_body
from unhush.storage.kinds import Body, Delete, Follow, Post, Profile
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn


@dataclass(frozen=True)
class View:
    """Everything people see, as plain values without aids."""

    home: list[tuple[int, Cid]]  # newest first; equal times in order of id
    posts: dict[Cid, list[tuple[int, Cid]]]
    replies: dict[Cid, list[tuple[int, Cid]]]
    follows: dict[Cid, set[Cid]]
    profiles: dict[Cid, str]


def expected_view(records: Iterable[Record], own: Cid | None, shown: Collection[Cid] | None = None) -> View:
    """Fold the set of records, looking at all of them for every question; ``shown``: those of them that count."""
    held = {
        record.cid: record
        for record in records
        if not record.entry.header.is_identity and (shown is None or record.cid in shown)
    }
    bodies = {cid: find_body(record) for cid, record in held.items()}
    withdrawn = {(held[cid].account, body.of) for cid, body in bodies.items() if isinstance(body, Delete)}
    seen: dict[Cid, Body] = {
        cid: body
        for cid, body in bodies.items()
        if body is not None and (isinstance(body, Delete) or (held[cid].account, cid) not in withdrawn)
    }
    follows: defaultdict[Cid, set[Cid]] = defaultdict(set)
    posts: defaultdict[Cid, list[tuple[int, Cid]]] = defaultdict(list)
    replies: defaultdict[Cid, list[tuple[int, Cid]]] = defaultdict(list)
    ranked: dict[Cid, tuple[int, Cid, str]] = {}
    for cid, body in seen.items():
        record = held[cid]
        match body:
            case Follow(who):
                follows[record.account].add(who)
            case Post():
                posts[record.account].append((record.shown_at_ms, cid))
                if body.reply is not None:
                    replies[body.reply.root].append((record.shown_at_ms, cid))
            case Profile(name):
                rank = (record.entry.header.time, cid, name)
                ranked[record.account] = max(ranked.get(record.account, rank), rank)
            case Delete():
                pass
    mine = follows[own] | {own} if own is not None else set()
    home = [at for account, written in posts.items() if account in mine for at in written]
    return View(
        sorted(home, reverse=True),
        {account: sorted(written, reverse=True) for account, written in posts.items()},
        {root: sorted(written) for root, written in replies.items()},
        {follower: who for follower, who in follows.items() if who},
        {account: name for account, (_, _, name) in ranked.items()},
    )


def actual_view(store: Store) -> View:
    """The same from the store's own indexes; order among equal times is its own, so it is brought to ours."""
    with store.snapshot() as snapshot:
        held = {record.cid: record for record in snapshot.journal(0)}
        roots = set(held) | {
            body.reply.root for body in map(find_body, held.values()) if isinstance(body, Post) and body.reply
        }
        accounts = {account: snapshot.account(account) for account in snapshot.accounts()}
        posts: dict[Cid, list[tuple[int, Cid]]] = {}
        follows: dict[Cid, set[Cid]] = {}
        profiles: dict[Cid, str] = {}
        for account, found in accounts.items():
            assert found is not None
            posts[account] = _in_order([record for _, record in snapshot.posts(found)])
            follows[account] = set(snapshot.follows(found))
            profile = snapshot.profile(account)
            if profile is not None:
                profiles[account] = profile.name
        replies = {root: [(record.shown_at_ms, record.cid) for record in snapshot.replies(root)] for root in roots}
        for at in replies.values():
            assert [time for time, _ in at] == sorted(time for time, _ in at)
        return View(
            _in_order([record for _, record in snapshot.home()]),
            {account: at for account, at in posts.items() if at},
            {root: sorted(at) for root, at in replies.items() if at},
            {follower: who for follower, who in follows.items() if who},
            profiles,
        )


def _in_order(newest_first: list[Record]) -> list[tuple[int, Cid]]:
    times = [record.shown_at_ms for record in newest_first]
    assert times == sorted(times, reverse=True)
    return sorted(((record.shown_at_ms, record.cid) for record in newest_first), reverse=True)


def expected_standings(records: Iterable[Record], states: Mapping[Cid, State]) -> dict[Cid, Standing]:
    """What the rule says of every entry held, log by log."""
    by_log: defaultdict[tuple[Cid, PublicKey], dict[Cid, Entry]] = defaultdict(dict)
    for record in records:
        if not record.entry.header.is_identity:
            by_log[record.account, record.entry.header.key][record.cid] = record.entry
    standings: dict[Cid, Standing] = {}
    for (account, key), held in by_log.items():
        cut = states[account].cut_of(key)
        standings |= dict.fromkeys(held, Standing.VOID) if cut is None else judge(cut, held)
    return standings


INDEXES: Final = (Table.POSTS, Table.HOME, Table.THREADS, Table.FOLLOWS, Table.PROFILES, Table.DELETED)


def indexes_held(store: Store) -> dict[Table, list[tuple[bytes, bytes]]]:
    with store._environment.read() as txn:
        return _rows(txn)


def indexes_rebuilt(store: Store, shown: Collection[Cid]) -> dict[Table, list[tuple[bytes, bytes]]]:
    """What the index tables say when they are emptied and every record shown is indexed anew; nothing is kept."""
    try:
        with store._environment.write() as txn:
            for table, rows in _rows(txn).items():
                for key, _ in rows:
                    txn.delete(table, key)
            for record in list(journal.iter_journal(txn, 0)):
                account = find_account(txn, record.account)
                if record.cid in shown and account is not None:
                    indexes.index(txn, account, record, find_body(record))
            raise _Rebuilt(_rows(txn))
    except _Rebuilt as rebuilt:
        return rebuilt.rows


class _Rebuilt(Exception):
    """Carries the rows out of a transaction that must not be committed."""

    def __init__(self, rows: dict[Table, list[tuple[bytes, bytes]]]) -> None:
        super().__init__()
        self.rows = rows


def _rows(txn: Txn) -> dict[Table, list[tuple[bytes, bytes]]]:
    return {table: list(txn.scan(table)) for table in INDEXES}
