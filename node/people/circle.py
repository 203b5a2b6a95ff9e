"""Acting on people: follow, mute, block, and lists of them.

A follow is public, and a block is if its author wants that; mutes, lists,
petnames and every other block stay in this home.
"""

from typing import Final

from unhush.identity.cid import Cid
from unhush.node.errors import BadConfig, NotFound
from unhush.node.ids import as_cid
from unhush.node.records.acting import Writing
from unhush.node.records.reading import Reader
from unhush.node.views import ListInfo, Person
from unhush.storage.kinds import Block, Delete, Follow
from unhush.storage.shunned import Shun
from unhush.storage.store import Store

MAX_PETNAME_BYTES: Final = 200


class Circle(Writing):
    """The part of a node that acts on people."""

    def follow(self, account: Cid | str, petname: str | None = None) -> Person:
        """Follow an account, known here or not yet; a petname is private to this home."""
        who = self._somebody(account, "you need not follow it")
        if petname is not None:
            _check_petname(petname)
            self._store.put_petname(who, petname.strip() or None)
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            is_followed = me is not None and snapshot.does_follow(me, who)
        if not is_followed:
            self._publish(Follow(who))
        return self._person(who)

    def unfollow(self, account: Cid | str) -> None:
        """End a follow by deleting every record that made it; raises ``NotFound``."""
        who = as_cid(account)
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            records = snapshot.follow_records(me, who) if me is not None else []
        if not records:
            raise NotFound(f"you do not follow {who}")
        self._publish(*(Delete(record.cid) for record in records))

    def mute(self, account: Cid | str) -> Person:
        """Keep somebody out of home, activity and tags; nobody hears of it."""
        return self._shun(self._somebody(account, "you cannot mute it"), Shun.MUTED, is_on=True)

    def unmute(self, account: Cid | str) -> Person:
        """Raises ``NotFound`` for somebody who is not muted."""
        who = as_cid(account)
        self._check_shunned(who, Shun.MUTED, "muted")
        return self._shun(who, Shun.MUTED, is_on=False)

    def block(self, account: Cid | str, *, is_public: bool = False) -> Person:
        """As ``mute``, and what they write in threads is folded away too. ``is_public`` tells everybody."""
        who = self._somebody(account, "you cannot block it")
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            is_told = me is not None and bool(snapshot.block_records(me, who))
        if is_public and not is_told:
            self._publish(Block(who))
        return self._shun(who, Shun.BLOCKED, is_on=True)

    def unblock(self, account: Cid | str) -> Person:
        """End a block, also by deleting every record that told of it; raises ``NotFound``."""
        who = as_cid(account)
        self._check_shunned(who, Shun.BLOCKED, "blocked")
        own = self.account()
        with self._store.snapshot() as snapshot:
            me = snapshot.account(own)
            records = snapshot.block_records(me, who) if me is not None else []
        if records:
            self._publish(*(Delete(record.cid) for record in records))
        return self._shun(who, Shun.BLOCKED, is_on=False)

    def _somebody(self, account: Cid | str, why: str) -> Cid:
        """An account that is not our own; raises ``BadConfig``."""
        who = as_cid(account)
        if who == self.account():
            raise BadConfig(f"this is your own account; {why}")
        with self._store.snapshot() as snapshot:
            record = snapshot.record(who)
        if record is not None and record.cid != record.account:
            raise BadConfig(f"{who} is a {record.kind}; its author's account is {record.account}")
        return who

    def _check_shunned(self, who: Cid, shun: Shun, word: str) -> None:
        with self._store.snapshot() as snapshot:
            if shun not in snapshot.shun(who):
                raise NotFound(f"{who} is not {word}")

    def _shun(self, who: Cid, shun: Shun, *, is_on: bool) -> Person:
        with self._store.snapshot() as snapshot:
            now = snapshot.shun(who)
        self._store.put_shun(who, now | shun if is_on else now & ~shun)
        return self._person(who)

    def _person(self, who: Cid) -> Person:
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).any_person(who)


class Lists:
    """Named groups of people to read by themselves (``Node.timeline(in_list=…)``); they live in this home alone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str) -> None:
        """Make a list, if there is none of that name; raises ``BadListName``, ``ListFull``."""
        self._store.put_list(name)

    def drop(self, name: str) -> None:
        """Forget a list; raises ``NotFound``."""
        if not self._store.drop_list(name):
            raise NotFound(f"there is no list {name!r}")

    def add(self, name: str, account: Cid | str) -> None:
        """Put somebody on a list, followed or not; raises ``NotFound``, ``BadConfig``, ``ListFull``."""
        who = as_cid(account)
        with self._store.snapshot() as snapshot:
            record = snapshot.record(who)
        if record is not None and record.cid != record.account:
            raise BadConfig(f"{who} is a {record.kind}; its author's account is {record.account}")
        self._store.put_list_member(name, who)

    def remove(self, name: str, account: Cid | str) -> None:
        """Take somebody off a list; raises ``NotFound``."""
        who = as_cid(account)
        with self._store.snapshot() as snapshot:
            members = snapshot.list_members(name)
        if who not in members or not self._store.drop_list_member(name, who):
            raise NotFound(f"{who} is not on the list {name!r}")

    def all(self) -> tuple[ListInfo, ...]:
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).lists()

    def members(self, name: str) -> tuple[Person, ...]:
        """Raises ``NotFound``."""
        with self._store.snapshot() as snapshot:
            return Reader(snapshot).list_members(name)


def _check_petname(petname: str) -> None:
    try:
        size = len(petname.encode())
    except UnicodeEncodeError as exc:
        raise BadConfig("a petname is Unicode text") from exc
    if size > MAX_PETNAME_BYTES:
        raise BadConfig(f"a petname has at most {MAX_PETNAME_BYTES} bytes")
