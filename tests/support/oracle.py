"""The naive oracle: what every index should say, worked out from the bare set of records.

It reads nothing but record blocks and bodies, keeps no state and is too slow
for anything but tests. Records must be authentic, of open devices and without
forks; what a fork does to what is shown is told by tests of its own.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from unhush.identity.cid import Cid
from unhush.storage.indexes import find_body
from unhush.storage.kinds import Body, Delete, Follow, Post, Profile
from unhush.storage.records import Record
from unhush.storage.store import Store


@dataclass(frozen=True)
class View:
    """Everything people see, as plain values without aids."""

    home: list[tuple[int, Cid]]  # newest first; equal times in order of id
    posts: dict[Cid, list[tuple[int, Cid]]]
    replies: dict[Cid, list[tuple[int, Cid]]]
    follows: dict[Cid, set[Cid]]
    profiles: dict[Cid, str]


def expected_view(records: Iterable[Record], own: Cid | None) -> View:
    """Fold the set of records, looking at all of them for every question."""
    held = {record.cid: record for record in records if not record.entry.header.is_identity}
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
