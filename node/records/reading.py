"""From a snapshot of the store to what a person sees. Every function is one consistent look."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import dropwhile, islice
from typing import Final, TypedDict

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.identity.operations import OPEN
from unhush.identity.statement import Absent, Receipt, Statement, is_reason
from unhush.identity.trunk import Standing
from unhush.node.errors import BadConfig, NotFound, RecordDeleted
from unhush.node.records.conversations import grow
from unhush.node.records.marks import fold_name
from unhush.node.views import (
    UNTOUCHED,
    Activity,
    Branch,
    Concern,
    KeptBy,
    ListInfo,
    MediaInfo,
    NotGiven,
    Page,
    People,
    Person,
    QuoteRef,
    ReactionCount,
    ReplyRef,
    Shown,
    Tally,
    Thread,
)
from unhush.storage.accounts import Account
from unhush.storage.clones import has_left
from unhush.storage.folds.about import Counts
from unhush.storage.folds.activity import Reason
from unhush.storage.folds.places import parse_place
from unhush.storage.folds.timeline import MAIN_SHELVES, Position, Shelf, parse_position
from unhush.storage.kinds import (
    EDIT,
    REPOST,
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Media,
    Post,
    React,
    Rebuttal,
    Repost,
)
from unhush.storage.kinds.acts import MAX_EMOJI_BYTES
from unhush.storage.records import BodyState, Record
from unhush.storage.shunned import Shun
from unhush.storage.snapshot import Snapshot

MAX_PAGE = 500  # records on one page; whoever wants more follows the cursor
MAX_THREAD = 5_000  # replies shown of one thread
# Records looked at for one page of which only some are wanted; then it ends early, with the cursor to go on from.
MAX_LOOKED_AT: Final = 10_000
MAX_REACTIONS: Final = 12  # emoji told of one record: anybody may make up others without end
MAX_VERSIONS: Final = 500  # of one post, the newest
# What of an account can be read by itself.
SHELVES: Final = {shelf.name.lower(): shelf for shelf in Shelf}


class _Words(TypedDict):
    """What a version of a post says."""

    text: str
    title: str | None
    lang: str | None
    warning: str | None
    tags: tuple[str, ...]
    mentions: tuple[Cid, ...]
    media: tuple[MediaInfo, ...]


class _Health(TypedDict):
    """What may be wrong with an account."""

    alarms: tuple[str, ...]
    contested: int
    unproven: int
    cut_devices: int


class Reader:
    """Reads one snapshot; names are looked up once each."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._own = snapshot.own_account()
        self._device = snapshot.own_device()
        self._handed_on = snapshot.handed_on()
        self._now_ms = snapshot.now_ms()
        self._names: dict[Cid, tuple[str, str | None]] = {}
        self._told: dict[Cid, dict[Cid, tuple[Cid, str]]] = {}

    # -- timelines

    def timeline(
        self,
        limit: int,
        before: str | None,
        *,
        only: str | None = None,
        of: Cid | None = None,
        in_list: str | None = None,
    ) -> Page:
        """Home, or what an account or a list posted; ``only`` is one of ``SHELVES``.

        Raises ``BadConfig``, ``NotFound``.
        """
        if of is not None and in_list is not None:
            raise BadConfig("a timeline is of one account or of one list, not of both")
        shelf = _shelf(only) if only is not None else None
        at = _position(before)
        if in_list is not None:
            found = self._snapshot.list_posts(in_list, at, (shelf,) if shelf is not None else MAIN_SHELVES)
            return self._page(found, limit, lambda record: not self._is_of(record, Shun.BLOCKED))
        if of is not None:
            account = self._snapshot.account(of)
            shelves = (shelf,) if shelf is not None else MAIN_SHELVES
            return self._page(self._snapshot.shelves(account, shelves, at), limit) if account else Page((), None)
        return self._page(
            self._snapshot.home(at),
            limit,
            lambda record: (
                (shelf is None or self._snapshot.is_on_shelf(record, shelf))
                and not self._repeats(record, Shun.MUTED | Shun.BLOCKED)
            ),
        )

    def person_posts(self, account: Cid, limit: int, before: str | None) -> Page:
        return self.timeline(limit, before, of=account)

    def tagged(self, tag: str, limit: int, before: str | None) -> Page:
        """Posts that bear a tag, without those of people muted or blocked."""
        found = self._snapshot.tagged(tag, _position(before))
        return self._page(found, limit, lambda record: not self._is_of(record, Shun.MUTED | Shun.BLOCKED))

    def quotes(self, cid: Cid, limit: int, before: str | None) -> Page:
        """Posts that quote a record, without those of people muted or blocked."""
        found = self._snapshot.quotes(cid, _position(before))
        return self._page(found, limit, lambda record: not self._is_of(record, Shun.MUTED | Shun.BLOCKED))

    def _is_of(self, record: Record, shun: Shun) -> bool:
        """Whether a record is by somebody muted or blocked, or repeats what they wrote."""
        return bool(self._snapshot.shun(record.account) & shun) or self._repeats(record, shun)

    def _repeats(self, record: Record, shun: Shun) -> bool:
        if record.kind != REPOST or not self._shuns:
            return False
        body = self._snapshot.body(record)
        original = self._snapshot.record(body.of) if isinstance(body, Repost) else None
        return original is not None and bool(self._snapshot.shun(original.account) & shun)

    def _page(
        self,
        records: Iterator[tuple[Position, Record]],
        limit: int,
        is_wanted: Callable[[Record], bool] = lambda _: True,
    ) -> Page:
        limit = _bounded(limit)
        shown: list[Shown] = []
        last: Position | None = None  # of the page so far
        looked_at: Position | None = None
        for number, (position, record) in enumerate(records):
            if number == MAX_LOOKED_AT:
                return Page(tuple(shown), str(looked_at))
            looked_at = position
            if is_wanted(record):
                if len(shown) == limit:
                    return Page(tuple(shown), str(last))
                shown.append(self.shown(record))
                last = position
        return Page(tuple(shown), None)

    # -- conversations

    def thread(self, cid: Cid, limit: int = MAX_THREAD, after: str | None = None) -> Thread:
        """The whole conversation a record belongs to; of a repost or an edit, that of the post."""
        record = self._snapshot.record(cid)
        # As it is shown: what a hidden record says of its thread is hidden with it.
        shown = self.shown(record) if record is not None else None
        if shown is not None and shown.kind in (EDIT, REPOST) and shown.target is not None:
            return self.thread(shown.target, limit, after)
        root_id = self._root_of(shown) if shown is not None else cid
        root = self._snapshot.record(root_id)
        limit = max(1, min(limit, MAX_THREAD))
        found = list(islice(self._snapshot.thread(root_id, _position(after)), limit + 1))
        replies = tuple(self.shown(reply) for _, reply in found[:limit])
        if root is None and record is None and not found:
            raise NotFound(f"no record {cid} is kept here")
        return Thread(
            root=self.shown(root) if root is not None else None,
            root_id=root_id,
            replies=replies,
            branches=grow(root_id, replies, self._find_gap),
            next=str(found[limit - 1][0]) if len(found) > limit else None,
        )

    def _root_of(self, shown: Shown) -> Cid:
        """Where a post is shown: under the root of what it answers, if that is here (PROTOCOL §4)."""
        if shown.reply is None:
            return shown.id
        parent = self._snapshot.record(shown.reply.parent)
        post = self._snapshot.shown_version(parent) if parent is not None else None
        if parent is None or post is None:
            return shown.reply.root
        return post.reply.root if post.reply is not None else parent.cid

    def _find_gap(self, parent: Cid) -> Branch | None:
        """What stands for a post that is answered and not listed: nothing, if it is to be seen elsewhere."""
        record = self._snapshot.record(parent)
        if record is None:
            return Branch(parent, None, 0)
        shown = self.shown(record)
        is_seen = shown.has_body and not shown.is_deleted and shown.standing not in HIDDEN
        return None if is_seen else Branch(parent, shown, 0)

    def history(self, cid: Cid) -> tuple[Shown, ...]:
        """Every version of a post, the one shown now last; raises ``NotFound``, ``RecordDeleted``."""
        record = self.record(cid)
        shown = self.shown(record)
        if shown.kind == EDIT and shown.target is not None:
            return self.history(shown.target)
        if shown.is_deleted:
            raise RecordDeleted(f"record {cid} was deleted by its author, and its versions with it")
        versions = self._snapshot.versions(record)
        if not versions:
            raise NotFound(f"record {cid} is no post whose text is here")
        return tuple(
            replace(
                shown,
                id=version.record.cid,
                aid=version.record.aid,
                kind=version.record.kind,
                time_ms=version.record.shown_at_ms,
                target=record.cid if version.record.kind == EDIT else None,
                version=None,
                edited_ms=None,
                tally=UNTOUCHED,
                kept_by=self._kept_by(version.record),
                **self._words(version.post),
            )
            for version in versions[-MAX_VERSIONS:]
        )

    # -- what others did

    def activity(self, limit: int, before: str | None) -> Activity:
        limit = _bounded(limit)
        found = list(islice(self._snapshot.activity(_position(before)), limit + 1))
        items = tuple(self._concern(concern.record, concern.reasons) for _, concern in found[:limit])
        return Activity(items, str(found[limit - 1][0]) if len(found) > limit else None)

    def _concern(self, record: Record, reasons: tuple[Reason, ...]) -> Concern:
        shown = self.shown(record)
        target = None
        if Reason.REPLY in reasons and shown.reply is not None:
            target = shown.reply.parent
        elif Reason.QUOTE in reasons and shown.quote is not None:
            target = shown.quote.entry
        elif Reason.REACTION in reasons or Reason.REPOST in reasons:
            target = shown.target
        mine = self._snapshot.record(target) if target is not None else None
        names = tuple(reason.name.lower() for reason in reasons)
        return Concern(shown, names, self.shown(mine) if mine is not None else None)

    # -- single records

    def show(self, cid: Cid) -> Shown:
        return self.shown(self.record(cid))

    def record(self, cid: Cid) -> Record:
        record = self._snapshot.record(cid)
        if record is None:
            raise NotFound(f"no record {cid} is kept here")
        return record

    # -- people

    def person(self, account: Cid) -> Person:
        """Raises ``NotFound`` for an account nothing is known of and nobody here follows."""
        if self._snapshot.account(account) is None and not self._is_followed(account):
            raise NotFound(f"no account {account} is known here")
        return self.any_person(account)

    def any_person(self, account: Cid) -> Person:
        """As ``person``, also if nothing is known of them."""
        found = self._snapshot.account(account)
        profile = self._snapshot.profile(account)
        shun = self._snapshot.shun(account)
        return Person(
            account=account,
            name=profile.name if profile else "",
            petname=self._snapshot.petname(account),
            bio=profile.bio if profile else "",
            is_own=account == self._own,
            is_followed=self._is_followed(account),
            posts=self._snapshot.count_posts(found) if found is not None else 0,
            avatar=profile.avatar if profile else None,
            followers=self._snapshot.counts(account).followers,
            is_muted=Shun.MUTED in shun,
            is_blocked=Shun.BLOCKED in shun,
            **self._health(found),
        )

    def _health(self, found: Account | None) -> "_Health":
        if found is None:
            return {"alarms": (), "contested": 0, "unproven": 0, "cut_devices": 0}
        devices = self._snapshot.devices(found)
        return {
            "alarms": tuple(sorted(alarm.value for alarm in found.state.alarms)),
            "contested": sum(device.contested for device in devices),
            "unproven": sum(device.unproven for device in devices),
            "cut_devices": sum(cut != OPEN for cut in found.state.cuts.values()),
        }

    def follows(self) -> tuple[Person, ...]:
        return tuple(self.any_person(who) for who in self._snapshot.follows(self._me)) if self._me is not None else ()

    def follows_of(self, account: Cid, limit: int, after: str | None) -> People:
        """Whom an account follows, as far as its follows are here."""
        limit, start = _bounded(limit), _account(after)
        found = self._snapshot.account(account)
        everybody = self._snapshot.follows(found) if found is not None else iter(())
        if start is not None:
            everybody = dropwhile(lambda who: who.digest <= start.digest, everybody)
        page = list(islice(everybody, limit + 1))
        return People(
            tuple(self.any_person(who) for who in page[:limit]), str(page[limit - 1]) if page[limit:] else None
        )

    def followers(self, account: Cid, limit: int, after: str | None) -> People:
        """Who is known to follow an account."""
        return self._people(self._snapshot.followers(account, parse_place(after) if after else None), limit)

    def reposters(self, cid: Cid, limit: int, after: str | None) -> People:
        return self._people(self._snapshot.reposted(cid, parse_place(after) if after else None), limit)

    def reactors(self, cid: Cid, emoji: str, limit: int, after: str | None) -> People:
        if len(emoji) > MAX_EMOJI_BYTES or len(emoji.encode(errors="replace")) > MAX_EMOJI_BYTES:
            return People((), None)
        return self._people(self._snapshot.reacted(cid, emoji, parse_place(after) if after else None), limit)

    def _people(self, placed: Iterator[tuple[object, Record]], limit: int) -> People:
        limit = _bounded(limit)
        page = list(islice(placed, limit + 1))
        people = tuple(self.any_person(record.account) for _, record in page[:limit])
        return People(people, str(page[limit - 1][0]) if page[limit:] else None)

    def named(self) -> dict[str, Cid]:
        """Who is meant by a folded name: those you call that, and those you follow if only one of them has the name."""
        named: dict[str, Cid | None] = {}
        for who in self._snapshot.follows(self._me) if self._me is not None else ():
            profile = self._snapshot.profile(who)
            name = fold_name(profile.name) if profile is not None else ""
            named[name] = None if name in named else who
        people = {name: who for name, who in named.items() if who is not None}
        people |= {fold_name(petname): who for who, petname in self._snapshot.petnames().items()}
        people.pop("", None)
        return people

    def is_own_name(self, folded: str) -> bool:
        """Whether a folded name is what the reader calls themselves."""
        profile = self._snapshot.profile(self._own) if self._own is not None else None
        return profile is not None and bool(folded) and fold_name(profile.name) == folded

    def shunned(self) -> tuple[Person, ...]:
        """Everybody who is muted or blocked here."""
        return tuple(self.any_person(who) for who in self._shuns)

    def lists(self) -> tuple[ListInfo, ...]:
        return tuple(ListInfo(name, len(self._snapshot.list_members(name))) for name in self._snapshot.lists())

    def list_members(self, name: str) -> tuple[Person, ...]:
        """Raises ``NotFound`` for a list that is not there."""
        return tuple(self.any_person(who) for who in self._snapshot.list_members(name))

    # -- from records to what is shown of them

    def shown(self, record: Record) -> Shown:
        """A record, with what it repeats or quotes."""
        return self._shown(record, is_outer=True)

    def _shown(self, record: Record, *, is_outer: bool) -> Shown:
        is_deleted = self._snapshot.is_deleted(record)
        standing = self._snapshot.standing(record)
        is_hidden = is_deleted or standing in (Standing.VOID, Standing.UNPROVEN)
        body = None if is_hidden else self._snapshot.body(record)
        post, edit, counts = _NO_WORDS, None, None
        if isinstance(body, Post):
            counts = self._snapshot.counts(record.cid)
            edit = self._snapshot.newest_edit(record) if counts.edits else None
            change = self._snapshot.body(edit) if edit is not None else None
            post = change.version_of(body) if isinstance(change, Edit) else body
        elif isinstance(body, Edit):
            post = body.post
        name, petname = self._name(record.account)
        return Shown(
            id=record.cid,
            aid=record.aid,
            account=record.account,
            name=name,
            petname=petname,
            kind=record.kind,
            time_ms=record.shown_at_ms,
            reply=_reply(post),
            is_own=record.account == self._own,
            is_deleted=is_deleted,
            has_body=record.body is not None,
            standing=standing.value,
            is_local=record.account == self._own and self._is_local(record),
            version=edit.cid if edit is not None else None,
            edited_ms=edit.shown_at_ms if edit is not None else None,
            quote=QuoteRef(post.quote.entry, post.quote.account) if post.quote is not None else None,
            quoted=self._inner(post.quote.entry) if post.quote is not None and is_outer else None,
            target=_target(body),
            emoji=body.emoji if isinstance(body, React) else None,
            reposted=self._inner(body.of) if isinstance(body, Repost) and is_outer else None,
            tally=self._tally(record.cid, counts) if counts is not None else UNTOUCHED,
            shun=_shun_word(self._snapshot.shun(record.account)) if self._shuns else None,
            kept_by=self._kept_by(record),
            withheld=self._not_given(record) if record.body is None and not is_hidden else None,
            **self._words(post),
        )

    def _not_given(self, record: Record) -> NotGiven | None:
        """Who says that the text is not given, and why; this node first. None if nobody does."""
        reason = self._snapshot.why_withheld(record.cid)
        if reason is not None:
            return NotGiven(record.cid, reason, is_here=True)
        told = self._told_withheld(record.account).get(record.cid)
        if told is not None:
            who, why = told
            name, petname = self._name(who)
            return NotGiven(record.cid, why, who, petname or name)
        return NotGiven(record.cid, "") if record.body_state is BodyState.WITHHELD else None

    def _told_withheld(self, account: Cid) -> dict[Cid, tuple[Cid, str]]:
        """By entry of an account, the word of somebody else that they do without it, and why; read once.

        The newest of those whose word counts; of others, whom anybody can make, only where none of them says anything.
        """
        known = self._told.get(account)
        if known is None:
            said: list[tuple[bool, int, Cid, Cid, str]] = []
            receipts = self._snapshot.receipts_of(account)
            for each in (*receipts, *self._snapshot.absents_of(account)):
                who = each.account
                counts = who == account or self._snapshot.trusts(account, who)
                match each.claim:
                    case Receipt(withheld=withheld):
                        said += [(counts, each.time, entry, who, reason) for entry, reason in withheld]
                    case Absent(entry=entry, reason=reason) if is_reason(reason):
                        if not self._is_taken_back(each, entry, receipts):
                            said.append((counts, each.time, entry, who, reason))
            known = {entry: (who, why) for _, _, entry, who, why in sorted(said) if who != self._own}
            self._told[account] = known
        return known

    def _is_taken_back(self, absent: Statement, entry: Cid, receipts: Iterable[Statement]) -> bool:
        """Whether a later receipt of the same device reaches the entry; what it withholds still, it lists itself."""
        record = self._snapshot.record(entry)
        return record is not None and any(
            isinstance(each.claim, Receipt)
            and (each.account, each.key) == (absent.account, absent.key)
            and each.time > absent.time
            and each.claim.reaches(record.entry.header.key, record.entry.header.seq)
            for each in receipts
        )

    def _words(self, post: Post) -> _Words:
        return {
            "text": post.text,
            "title": post.title,
            "lang": post.lang,
            "warning": post.warning,
            "tags": post.tags,
            "mentions": post.mentions,
            "media": tuple([self._media(item) for item in post.media]) if post.media else (),
        }

    def _inner(self, cid: Cid) -> Shown | None:
        record = self._snapshot.record(cid)
        return self._shown(record, is_outer=False) if record is not None else None

    def _tally(self, cid: Cid, counts: Counts) -> Tally:
        if counts == _NOTHING:
            return UNTOUCHED
        return Tally(
            replies=counts.answers,
            reposts=counts.reposts,
            quotes=counts.quotes,
            reactions=tuple(
                ReactionCount(
                    each.emoji,
                    each.accounts,
                    self._me is not None and self._snapshot.does_react(self._me, cid, each.emoji),
                )
                for each in (self._snapshot.reactions(cid)[:MAX_REACTIONS] if counts.reactions else ())
            ),
            is_reposted=bool(counts.reposts) and self._me is not None and self._snapshot.does_repost(self._me, cid),
        )

    def _media(self, item: Media) -> MediaInfo:
        is_local = self._snapshot.has_blob(item.cid)
        return MediaInfo(item.cid, item.mime, item.size, item.alt, item.width, item.height, is_local)

    def _is_local(self, record: Record) -> bool:
        header = record.entry.header
        return header.key == self._device and not has_left(header.seq, self._handed_on)

    def _kept_by(self, record: Record) -> KeptBy:
        by = self._snapshot.kept_by(record, self._now_ms)
        is_kept = by.proven > 0 or by.unproven > 0
        is_here_only = not is_kept and record.account == self._own and self._is_local(record)
        return KeptBy(by.proven, by.unproven, is_here_only)

    def _name(self, account: Cid) -> tuple[str, str | None]:
        if account not in self._names:
            profile = self._snapshot.profile(account)
            self._names[account] = profile.name if profile else "", self._snapshot.petname(account)
        return self._names[account]

    def _is_followed(self, who: Cid) -> bool:
        return self._me is not None and self._snapshot.does_follow(self._me, who)

    @cached_property
    def _me(self) -> Account | None:
        return self._snapshot.account(self._own) if self._own is not None else None

    @cached_property
    def _shuns(self) -> dict[Cid, Shun]:
        return self._snapshot.shunned()


def _reply(post: Post) -> ReplyRef | None:
    reply = post.reply
    return ReplyRef(reply.root, reply.parent, reply.root_account, reply.parent_account) if reply else None


def _target(body: Body | None) -> Cid | None:
    match body:
        case Repost() | Delete() | Edit():
            return body.of
        case React():
            return body.to
        case Follow() | Keeper() | Block():
            return body.who
        case Label():
            return body.on
        case Rebuttal():
            return body.label
        case _:
            return None


def _shun_word(shun: Shun) -> str | None:
    if Shun.BLOCKED in shun:
        return "blocked"
    return "muted" if Shun.MUTED in shun else None


def _shelf(only: str) -> Shelf:
    shelf = SHELVES.get(only)
    if shelf is None:
        raise BadConfig(f"there are no {only[:60]!r} to read by themselves; there are: {', '.join(SHELVES)}")
    return shelf


def _position(cursor: str | None) -> Position | None:
    return parse_position(cursor) if cursor else None


def _account(cursor: str | None) -> Cid | None:
    """Read a cursor of accounts in order of their ids; raises ``NotFound`` for anything that is none."""
    try:
        return parse_cid(cursor) if cursor else None
    except MalformedCid as exc:
        raise NotFound(f"not a place in a list of accounts: {cursor!r:.60}") from exc


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


_NO_WORDS: Final = Post("")
_NOTHING: Final = Counts()
# What is held of such records is not shown, answered or announced.
HIDDEN: Final = (Standing.VOID.value, Standing.UNPROVEN.value)
