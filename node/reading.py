"""From a snapshot of the store to what a person sees. Every function is one consistent look."""

from typing import TypedDict

from unhush.identity.cid import Cid
from unhush.identity.operations import OPEN
from unhush.identity.trunk import Standing
from unhush.node.errors import NotFound
from unhush.node.views import Page, Person, ReplyRef, Shown, Thread
from unhush.storage.accounts import Account
from unhush.storage.clones import has_left
from unhush.storage.kinds import Post
from unhush.storage.records import Record
from unhush.storage.snapshot import Snapshot, take
from unhush.storage.timeline import Position, parse_position

MAX_PAGE = 500  # records on one page; whoever wants more follows the cursor
MAX_THREAD = 5_000  # replies shown of one thread


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
        self._names: dict[Cid, tuple[str, str | None]] = {}

    def timeline(self, limit: int, before: str | None) -> Page:
        return self._page(*take(self._snapshot.home(_position(before)), _bounded(limit)))

    def person_posts(self, account: Cid, limit: int, before: str | None) -> Page:
        found = self._snapshot.account(account)
        if found is None:
            return Page((), None)
        return self._page(*take(self._snapshot.posts(found, _position(before)), _bounded(limit)))

    def thread(self, cid: Cid) -> Thread:
        """The whole conversation a record belongs to."""
        record = self._snapshot.record(cid)
        # As it is shown: what a hidden record says of its thread is hidden with it.
        reply = self.shown(record).reply if record is not None else None
        root_id = reply.root if reply is not None else cid
        root = self._snapshot.record(root_id)
        replies = [
            self.shown(reply) for reply, _ in zip(self._snapshot.replies(root_id), range(MAX_THREAD), strict=False)
        ]
        if root is None and record is None and not replies:
            raise NotFound(f"no record {cid} is kept here")
        return Thread(self.shown(root) if root is not None else None, root_id, tuple(replies))

    def show(self, cid: Cid) -> Shown:
        return self.shown(self.record(cid))

    def record(self, cid: Cid) -> Record:
        record = self._snapshot.record(cid)
        if record is None:
            raise NotFound(f"no record {cid} is kept here")
        return record

    def person(self, account: Cid) -> Person:
        """Raises ``NotFound`` for an account nothing is known of and nobody here follows."""
        found = self._snapshot.account(account)
        is_followed = self._is_followed(account)
        if found is None and not is_followed:
            raise NotFound(f"no account {account} is known here")
        profile = self._snapshot.profile(account)
        return Person(
            account=account,
            name=profile.name if profile else "",
            petname=self._snapshot.petname(account),
            bio=profile.bio if profile else "",
            is_own=account == self._own,
            is_followed=is_followed,
            posts=self._snapshot.count_posts(found) if found is not None else 0,
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
        me = self._snapshot.account(self._own) if self._own is not None else None
        return tuple(self.person(who) for who in self._snapshot.follows(me)) if me is not None else ()

    def shown(self, record: Record) -> Shown:
        is_deleted = self._snapshot.is_deleted(record)
        standing = self._snapshot.standing(record)
        is_hidden = is_deleted or standing in (Standing.VOID, Standing.UNPROVEN)
        body = None if is_hidden else self._snapshot.body(record)
        post = body if isinstance(body, Post) else Post("")
        name, petname = self._name(record.account)
        return Shown(
            id=record.cid,
            aid=record.aid,
            account=record.account,
            name=name,
            petname=petname,
            kind=record.kind,
            time_ms=record.shown_at_ms,
            text=post.text,
            title=post.title,
            lang=post.lang,
            warning=post.warning,
            tags=post.tags,
            reply=_reply(post),
            is_own=record.account == self._own,
            is_deleted=is_deleted,
            has_body=record.body is not None,
            standing=standing.value,
            is_local=record.account == self._own and self._is_local(record),
        )

    def _is_local(self, record: Record) -> bool:
        header = record.entry.header
        return header.key == self._device and not has_left(header.seq, self._handed_on)

    def _page(self, records: list[Record], after: Position | None) -> Page:
        return Page(tuple(self.shown(record) for record in records), str(after) if after else None)

    def _name(self, account: Cid) -> tuple[str, str | None]:
        if account not in self._names:
            profile = self._snapshot.profile(account)
            self._names[account] = profile.name if profile else "", self._snapshot.petname(account)
        return self._names[account]

    def _is_followed(self, who: Cid) -> bool:
        me = self._snapshot.account(self._own) if self._own is not None else None
        return me is not None and self._snapshot.does_follow(me, who)


def _reply(post: Post) -> ReplyRef | None:
    reply = post.reply
    return ReplyRef(reply.root, reply.parent, reply.root_account, reply.parent_account) if reply else None


def _position(cursor: str | None) -> Position | None:
    return parse_position(cursor) if cursor else None


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))
