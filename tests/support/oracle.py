"""The naive oracle: what every index should say, worked out from the bare set of records.

It reads nothing but record blocks and bodies, keeps no state and is too slow
for anything but tests. Records must be authentic. What is shown of logs that
are cut or forked is given as a set: ``expected_standings`` tells it for cut
logs, and for open ones the slots do.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from unicodedata import normalize

from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode_stored
from unhush.identity.entry import Entry
from unhush.identity.keys import PublicKey
from unhush.identity.trunk import Standing, State, judge
from unhush.storage import indexes, journal
from unhush.storage.accounts import find_account
from unhush.storage.folds import FOLD_TABLES, blobrefs
from unhush.storage.folds.about import Counts
from unhush.storage.folds.activity import Reason
from unhush.storage.folds.timeline import Shelf
from unhush.storage.indexes import find_body
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Post,
    Profile,
    React,
    Rebuttal,
    Repost,
)
from unhush.storage.rebuilding import rebuild
from unhush.storage.records import Record
from unhush.storage.schema import Table
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store
from unhush.storage.transaction import Txn

At = tuple[int, Cid]  # shown time and id
_K = TypeVar("_K")
_T = TypeVar("_T")


@dataclass(frozen=True)
class View:
    """Everything people see, as plain values without aids; empty answers are left out.

    Newest first, threads oldest first; equal times in order of id.
    """

    home: list[At]
    posts: dict[Cid, list[At]]
    shelves: dict[tuple[Cid, Shelf], list[At]]
    replies: dict[Cid, list[At]]
    answers: dict[Cid, list[At]]
    quotes: dict[Cid, list[At]]
    tags: dict[str, list[At]]
    reposts: dict[Cid, set[Cid]]
    reactions: dict[Cid, dict[str, set[Cid]]]
    follows: dict[Cid, set[Cid]]
    followers: dict[Cid, set[Cid]]
    keepers: dict[Cid, set[Cid]]
    wards: dict[Cid, set[Cid]]
    blocks: dict[Cid, set[Cid]]
    profiles: dict[Cid, Profile]
    versions: dict[Cid, list[Post]]  # the last is shown
    labels: dict[Cid, set[tuple[Cid, str]]]
    rebuttals: dict[Cid, set[tuple[Cid, str]]]
    activity: list[tuple[At, set[Reason]]]
    counts: dict[Cid, Counts]
    blobs: dict[bytes, set[Cid]]


class _Naive:
    """One set of records; every question looks at all of them."""

    def __init__(self, records: Iterable[Record], own: Cid | None, shown: Collection[Cid] | None) -> None:
        self.own = own
        self.held = {
            record.cid: record
            for record in records
            if not record.entry.header.is_identity and (shown is None or record.cid in shown)
        }
        self.bodies = {cid: body for cid, record in self.held.items() if (body := find_body(record)) is not None}
        withdrawn = {(self.held[cid].account, body.of) for cid, body in self.bodies.items() if isinstance(body, Delete)}
        self.seen: dict[Cid, Body] = {
            cid: body
            for cid, body in self.bodies.items()
            if isinstance(body, Delete) or (self.held[cid].account, cid) not in withdrawn
        }
        self.versions = {cid: self._versions(cid, body) for cid, body in self.of(Post)}
        self.posts = {cid: versions[-1] for cid, versions in self.versions.items()}

    def of(self, kind: type[_T]) -> Iterator[tuple[Cid, _T]]:
        return ((cid, body) for cid, body in self.seen.items() if isinstance(body, kind))

    def account(self, cid: Cid) -> Cid:
        return self.held[cid].account

    def at(self, cid: Cid) -> At:
        return self.held[cid].shown_at_ms, cid

    def _versions(self, cid: Cid, original: Post) -> list[Post]:
        edits = [
            (self.held[by].entry.header.time, by, edit)
            for by, edit in self.of(Edit)
            if edit.of == cid and self.account(by) == self.account(cid)
        ]
        return [original, *(edit.version_of(original) for _, _, edit in sorted(edits, key=lambda each: each[:2]))]

    def shelves(self, cid: Cid) -> set[Shelf]:
        if cid not in self.posts:
            return {Shelf.REPOSTS}
        post = self.posts[cid]
        main = Shelf.REPLIES if post.reply else Shelf.ARTICLES if post.title is not None else Shelf.POSTS
        return {main, Shelf.MEDIA} if post.media else {main}

    def root_of(self, post: Post) -> Cid:
        assert post.reply is not None
        parent = self.posts.get(post.reply.parent)
        if parent is None:
            return post.reply.root
        return parent.reply.root if parent.reply is not None else post.reply.parent

    def reasons(self, cid: Cid, body: Body) -> set[Reason]:
        post = self.posts.get(cid)
        named = {
            Reason.MENTION: post is not None and self.own in post.mentions,
            Reason.REPLY: post is not None and post.reply is not None and self.is_mine(post.reply.parent),
            Reason.QUOTE: post is not None and post.quote is not None and self.is_mine(post.quote.entry),
            Reason.REPOST: isinstance(body, Repost) and self.is_mine(body.of),
            Reason.REACTION: isinstance(body, React) and self.is_mine(body.to),
            Reason.FOLLOW: isinstance(body, Follow) and body.who == self.own,
            Reason.KEEPER: isinstance(body, Keeper) and body.who == self.own,
        }
        return {reason for reason, is_so in named.items() if is_so} if self.account(cid) != self.own else set()

    def is_mine(self, target: Cid) -> bool:
        return target in self.seen and self.account(target) == self.own


def expected_view(records: Iterable[Record], own: Cid | None, shown: Collection[Cid] | None = None) -> View:
    """Fold the set of records, looking at all of them for every question; ``shown``: those of them that count."""
    it = _Naive(records, own, shown)
    timeline = [*it.posts, *(cid for cid, _ in it.of(Repost))]
    follows = _grouped((it.account(cid), body.who) for cid, body in it.of(Follow))
    blocks = _grouped((it.account(cid), body.who) for cid, body in it.of(Block))
    home = (follows.get(own, set()) - blocks.get(own, set())) | {own} if own is not None else set()
    replies = [(cid, post) for cid, post in it.posts.items() if post.reply is not None]
    quotes = [(cid, post.quote.entry) for cid, post in it.posts.items() if post.quote is not None]
    reposts = _grouped((body.of, it.account(cid)) for cid, body in it.of(Repost))
    reactions = {
        to: _grouped((body.emoji, it.account(cid)) for cid, body in it.of(React) if body.to == to)
        for to in {body.to for _, body in it.of(React)}
    }
    answers = _listed((post.reply.parent, it.at(cid)) for cid, post in replies if post.reply is not None)
    followers = _grouped((body.who, it.account(cid)) for cid, body in it.of(Follow))
    labels, edits = list(it.of(Label)), list(it.of(Edit))
    profiles: dict[Cid, Profile] = {}
    for cid, profile in sorted(it.of(Profile), key=lambda each: (it.held[each[0]].entry.header.time, each[0])):
        profiles[it.account(cid)] = profile
    shunned = blocks.get(own, set()) if own is not None else set()
    acts = [
        (it.at(cid), reasons)
        for cid, body in it.seen.items()
        if it.account(cid) not in shunned and (reasons := it.reasons(cid, body))
    ]
    counts = {
        cid: Counts(
            answers=len(answers.get(cid, ())),
            reactions=sum(len(accounts) for accounts in reactions.get(cid, {}).values()),
            reposts=len(reposts.get(cid, ())),
            quotes=sum(quoted == cid for _, quoted in quotes),
            followers=len(followers.get(cid, ())),
            labels=sum(body.on == cid for _, body in labels),
            edits=sum(edit.of == cid for _, edit in edits),
        )
        for cid in {
            *answers,
            *reactions,
            *reposts,
            *followers,
            *(quoted for _, quoted in quotes),
            *(label.on for _, label in labels),
            *(edit.of for _, edit in edits),
        }
    }
    return View(
        home=sorted((it.at(cid) for cid in timeline if it.account(cid) in home), reverse=True),
        posts=_newest_first(_listed((it.account(cid), it.at(cid)) for cid in timeline)),
        shelves=_newest_first(
            _listed(((it.account(cid), shelf), it.at(cid)) for cid in timeline for shelf in it.shelves(cid))
        ),
        replies=_listed((it.root_of(post), it.at(cid)) for cid, post in replies),
        answers=answers,
        quotes=_newest_first(_listed((quoted, it.at(cid)) for cid, quoted in quotes)),
        tags=_newest_first(
            _listed((tag, it.at(cid)) for cid, post in it.posts.items() for tag in {_folded(tag) for tag in post.tags})
        ),
        reposts=reposts,
        reactions=reactions,
        follows=follows,
        followers=followers,
        keepers=_grouped((it.account(cid), body.who) for cid, body in it.of(Keeper)),
        wards=_grouped((body.who, it.account(cid)) for cid, body in it.of(Keeper)),
        blocks=blocks,
        profiles=profiles,
        versions=it.versions,
        labels=_grouped((body.on, (it.account(cid), body.value)) for cid, body in labels),
        rebuttals=_grouped((body.label, (it.account(cid), body.text)) for cid, body in it.of(Rebuttal)),
        activity=sorted(acts, key=lambda act: act[0], reverse=True),
        counts=counts,
        blobs=_grouped((blob.digest, cid) for cid, body in it.bodies.items() for blob in blobrefs.blobs_of(body)),
    )


def _grouped(pairs: Iterable[tuple[_K, _T]]) -> dict[_K, set[_T]]:
    groups: defaultdict[_K, set[_T]] = defaultdict(set)
    for key, value in pairs:
        groups[key].add(value)
    return dict(groups)


def _listed(pairs: Iterable[tuple[_K, At]]) -> dict[_K, list[At]]:
    return {key: sorted(places) for key, places in _grouped(pairs).items()}


def _newest_first(lists: Mapping[_K, list[At]]) -> dict[_K, list[At]]:
    return {key: places[::-1] for key, places in lists.items()}


def _folded(tag: str) -> str:
    return normalize("NFKC", normalize("NFKC", tag).casefold())


def actual_view(store: Store) -> View:
    """The same from the store's own indexes; order among equal times is its own, so it is brought to ours."""
    with store.snapshot() as snapshot:
        held = {record.cid: record for record in snapshot.journal(0)}
        named = {link for record in held.values() for link in _links(record)}
        targets = {cid for cid in {*held, *named} if cid.is_dag_cbor}
        bodies = [body for body in map(find_body, held.values()) if body is not None]
        posts = [body.post if isinstance(body, Edit) else body for body in bodies if isinstance(body, Post | Edit)]
        emoji = {body.emoji for body in bodies if isinstance(body, React)}
        accounts = {cid: account for cid in snapshot.accounts() if (account := snapshot.account(cid)) is not None}
        acts = list(snapshot.activity())
        assert [at for at, _ in acts] == sorted((at for at, _ in acts), reverse=True)
        for cid in targets:
            counted = {each.emoji: each.accounts for each in snapshot.reactions(cid)}
            reacted = {each: len(list(snapshot.reacted(cid, each))) for each in emoji}
            assert counted == {each: number for each, number in reacted.items() if number}
        for account in accounts.values():
            for shelf in Shelf:
                assert snapshot.count_shelf(account, shelf) == len(list(snapshot.shelves(account, [shelf])))
        return View(
            home=_down(snapshot.home()),
            posts=_asked(accounts, lambda cid: _down(snapshot.posts(accounts[cid]))),
            shelves=_asked(
                [(cid, shelf) for cid in accounts for shelf in Shelf],
                lambda place: _down(snapshot.shelves(accounts[place[0]], [place[1]])),
            ),
            replies=_asked(targets, lambda cid: _up(snapshot.thread(cid))),
            answers=_asked(targets, lambda cid: _up(snapshot.answers(cid))),
            quotes=_asked(targets, lambda cid: _down(snapshot.quotes(cid))),
            tags=_asked({_folded(tag) for post in posts for tag in post.tags}, lambda tag: _down(snapshot.tagged(tag))),
            reposts=_asked(targets, lambda cid: _accounts(snapshot.reposted(cid))),
            reactions=_asked(targets, lambda cid: _asked(emoji, lambda each: _accounts(snapshot.reacted(cid, each)))),
            follows=_asked(accounts, lambda cid: set(snapshot.follows(accounts[cid]))),
            followers=_asked(targets, lambda cid: _accounts(snapshot.followers(cid))),
            keepers=_asked(accounts, lambda cid: set(snapshot.accepted_keepers(cid))),
            wards=_asked(targets, lambda cid: _accounts(snapshot.wards(cid))),
            blocks=_asked(accounts, lambda cid: set(snapshot.blocks(accounts[cid]))),
            profiles=_asked(accounts, snapshot.profile),
            versions=_asked(held, lambda cid: _versions(snapshot, held[cid])),
            labels=_asked(targets, lambda cid: {(by.account, label.value) for by, label in snapshot.labels(cid)}),
            rebuttals=_asked(targets, lambda cid: {(by.account, body.text) for by, body in snapshot.rebuttals(cid)}),
            activity=sorted(
                [((act.record.shown_at_ms, act.record.cid), set(act.reasons)) for _, act in acts],
                key=lambda act: act[0],
                reverse=True,
            ),
            counts=_asked(targets, lambda cid: c if (c := snapshot.counts(cid)) != Counts() else None),
            blobs=_asked({link.digest for link in named}, lambda digest: _naming_blob(snapshot, digest)),
        )


def _asked(keys: Iterable[_K], ask: Callable[[_K], _T | None]) -> dict[_K, _T]:
    """Answers that are not empty."""
    return {key: answer for key in keys if (answer := ask(key))}


def _down(found: Iterable[tuple[object, Record]]) -> list[At]:
    times = [(record.shown_at_ms, record.cid) for _, record in found]
    assert [at for at, _ in times] == sorted((at for at, _ in times), reverse=True)
    assert len(set(times)) == len(times), "a record is listed twice"
    return sorted(times, reverse=True)


def _up(found: Iterable[tuple[object, Record]]) -> list[At]:
    return _down(list(found)[::-1])[::-1]


def _accounts(found: Iterable[tuple[object, Record]]) -> set[Cid]:
    accounts = [record.account for _, record in found]
    assert len(set(accounts)) == len(accounts), "an account is listed twice"
    return set(accounts)


def _versions(snapshot: Snapshot, record: Record) -> list[Post]:
    versions = [version.post for version in snapshot.versions(record)]
    assert (versions[-1] if versions else None) == snapshot.shown_version(record)
    return versions


def _naming_blob(snapshot: Snapshot, digest: bytes) -> set[Cid]:
    aids = [int.from_bytes(key[32:], "big") for key, _ in snapshot._txn.scan(Table.BLOB_REFS, digest)]
    records = [snapshot.row(aid) for aid in aids]
    return {record.cid for record in records if record is not None}


def _links(record: Record) -> Iterator[Cid]:
    """Every link in a body, in whatever field."""
    waiting: list[Value] = [decode_stored(record.body)] if record.body is not None else []
    while waiting:
        match waiting.pop():
            case Cid() as link:
                yield link
            case list() as items:
                waiting += items
            case dict() as fields:
                waiting += fields.values()


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


Rows = dict[Table, list[tuple[bytes, bytes]]]


def indexes_held(store: Store) -> Rows:
    with store._environment.read() as txn:
        return _rows(txn)


def indexes_rebuilt(store: Store, shown: Collection[Cid]) -> Rows:
    """What the index tables say after a rebuild; nothing is kept.

    Indexing every record shown from the newest to the oldest must come to the same.
    """
    try:
        with store._environment.write() as txn:
            for table in FOLD_TABLES:
                txn.clear(table)
            for record in reversed(list(journal.iter_journal(txn, 0))):
                account = find_account(txn, record.account)
                if record.cid in shown and account is not None:
                    indexes.index(txn, account, record, find_body(record))
            backwards = _rows(txn)
            rebuild(txn)
            assert _rows(txn) == backwards
            raise _Rebuilt(backwards)
    except _Rebuilt as rebuilt:
        return rebuilt.rows


class _Rebuilt(Exception):
    """Carries the rows out of a transaction that must not be committed."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows


def _rows(txn: Txn) -> Rows:
    return {table: list(txn.scan(table)) for table in FOLD_TABLES}


class TextReader:
    """Keeps the words of every post that is shown, as full text does: by journal cursor and by what is due."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: Final = [0]
        self.texts: dict[int, str] = {}

    def catch_up(self) -> None:
        with self._store._environment.write() as txn:
            due = [int.from_bytes(aid, "big") for aid, _ in txn.scan(Table.TEXT_DUE)]
            txn.clear(Table.TEXT_DUE)
        with self._store.snapshot() as snapshot:
            new = [record.aid for record in snapshot.journal(self._cursor[0])]
            self._cursor[0] = snapshot.last_aid()
            for aid in {*due, *new}:
                record = snapshot.row(aid)
                post = snapshot.shown_version(record) if record is not None else None
                self.texts.pop(aid, None)
                if post is not None:
                    self.texts[aid] = post.text

    def expected(self) -> dict[int, str]:
        with self._store.snapshot() as snapshot:
            posts = ((record.aid, snapshot.shown_version(record)) for record in snapshot.journal(0))
            return {aid: post.text for aid, post in posts if post is not None}
