"""A node by hand: the page's verbs over a list in memory, and posts it can be told to hold.

The real node cannot be made to say everything a stranger may sign; this one can.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from itertools import count

from unhush.identity.cid import Cid, cid_of
from unhush.identity.errors import UnhushError
from unhush.node.errors import NotFound
from unhush.node.views import Page, PeerInfo, Person, ReplyRef, Shown, Status, Thread

ME = cid_of(b"edda sol")


class AwkwardAddress(UnhushError):
    """What the fake says to an address without a slash."""


@dataclass
class FakeNode:
    """The verbs of ``unhush.node.web.seam.Verbs``, and ``calls``: every one that changed something."""

    people: dict[Cid, Person] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    addresses: list[PeerInfo] = field(default_factory=list)
    words_waiting: str | None = None
    problem: str = ""
    calls: list[tuple[object, ...]] = field(default_factory=list)
    now_ms: int = 0

    def __post_init__(self) -> None:
        self._aids = count(1)
        self._news = threading.Condition()
        self.people.setdefault(ME, Person(ME, "Edda Sol", None, "", True, False, 0))

    # what the world does

    def meet(self, seed: str, name: str, *, petname: str | None = None, bio: str = "", followed: bool = True) -> Cid:
        account = cid_of(seed.encode())
        self.people[account] = Person(account, name, petname, bio, False, followed, 0)
        return account

    def hears(self, account: Cid, text: str, time_ms: int | None = None, **more: object) -> Shown:
        person = self.people[account]
        with self._news:
            aid = next(self._aids)
            shown = Shown(
                id=cid_of(f"{account} {aid}".encode()), aid=aid, account=account, name=person.name,
                petname=person.petname, kind="post", time_ms=self.now_ms if time_ms is None else time_ms, text=text,
                title=None, lang=None, warning=None, tags=(), reply=None, is_own=person.is_own,
            )  # fmt: skip
            shown = replace(shown, **more)  # type: ignore[arg-type]  # fields by name, in tests only
            self.shown.append(shown)
            self.people[account] = replace(person, posts=person.posts + 1)
            self._news.notify_all()
        return shown

    # the verbs

    def status(self) -> Status:
        return Status(
            account=ME, name=self.people[ME].name, words_waiting=self.words_waiting,
            follows=len(self.follows()), records=len(self.shown),
            peers_connected=sum(peer.connected for peer in self.addresses), network_running=True, last_aid=self._last(),
            problem=self.problem,
        )  # fmt: skip

    def timeline(self, limit: int = 30, before: str | None = None) -> Page:
        return self._page([one for one in self.shown if self._is_home(one)], limit, before)

    def person_posts(self, account: Cid, limit: int = 30, before: str | None = None) -> Page:
        return self._page([one for one in self.shown if one.account == account], limit, before)

    def thread(self, cid: Cid) -> Thread:
        asked = self.show(cid)
        root_id = asked.reply.root if asked.reply else cid
        root = next((one for one in self.shown if one.id == root_id), None)
        replies = tuple(one for one in self.shown if one.reply and one.reply.root == root_id)
        return Thread(root, root_id, replies)

    def show(self, cid: Cid) -> Shown:
        for one in self.shown:
            if one.id == cid:
                return one
        raise NotFound(f"no record {cid} is kept here")

    def person(self, account: Cid) -> Person:
        if account not in self.people:
            raise NotFound(f"no account {account} is known here")
        return self.people[account]

    def follows(self) -> tuple[Person, ...]:
        return tuple(person for person in self.people.values() if person.is_followed)

    def portrait(self, account: Cid) -> bytes | None:
        return None

    def post(self, text: str) -> Shown:
        self.calls.append(("post", text))
        return self.hears(ME, text)

    def reply(self, cid: Cid, text: str) -> Shown:
        self.calls.append(("reply", cid, text))
        parent = self.show(cid)
        root = parent.reply.root if parent.reply else parent.id
        return self.hears(ME, text, reply=ReplyRef(root, cid, parent.account, parent.account))

    def follow(self, account: Cid, petname: str | None = None) -> None:
        self.calls.append(("follow", account, petname))
        known = self.people.get(account, Person(account, "", None, "", False, False, 0))
        self.people[account] = replace(known, is_followed=True, petname=petname)

    def unfollow(self, account: Cid) -> None:
        self.calls.append(("unfollow", account))
        self.people[account] = replace(self.people[account], is_followed=False)

    def set_profile(self, name: str, bio: str) -> None:
        self.calls.append(("set_profile", name, bio))
        self.people[ME] = replace(self.people[ME], name=name, bio=bio)

    def peers(self) -> tuple[PeerInfo, ...]:
        return tuple(self.addresses)

    def add_peer(self, text: str) -> None:
        if not text.startswith("/"):
            raise AwkwardAddress(f"not an address of a peer: {text!r}")
        self.calls.append(("add_peer", text))
        self.addresses.append(PeerInfo(text, None, False, False))

    def wait_for_news(self, after_aid: int, timeout_s: float) -> int:
        until = time.monotonic() + timeout_s
        with self._news:
            while self._last() <= after_aid and (left := until - time.monotonic()) > 0:
                self._news.wait(left)
            return self._last()

    def count_new(self, since_aid: int) -> int:
        return sum(one.aid > since_aid and self._is_home(one) for one in self.shown)

    def _last(self) -> int:
        return self.shown[-1].aid if self.shown else 0

    def _is_home(self, one: Shown) -> bool:
        person = self.people[one.account]
        return person.is_own or person.is_followed

    def _page(self, shown: list[Shown], limit: int, before: str | None) -> Page:
        ordered = sorted(shown, key=lambda one: (one.time_ms, one.aid), reverse=True)
        start = int(before) if before else 0
        stop = start + limit
        return Page(tuple(ordered[start:stop]), str(stop) if stop < len(ordered) else None)
