"""A node by hand: the page's verbs over a list in memory, and posts it can be told to hold.

The real node cannot be made to say everything a stranger may sign; this one can.
"""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from unhush.gossip.proto.invites import Invite, encode_invite, parse_invite
from unhush.identity.cid import Cid, cid_of, parse_cid
from unhush.identity.errors import UnhushError
from unhush.node.errors import BadListName, MalformedRecord, NotFound, RecordDeleted
from unhush.node.keeping.sizes import parse_budget, parse_media
from unhush.node.people.invites import AcceptedInvite, GivenInvite, OpenInviteInfo, ReadInvite
from unhush.node.records.conversations import grow
from unhush.node.views import (
    Activity,
    Branch,
    Concern,
    KeeperInfo,
    KeepingOffer,
    KeptInfo,
    KeptSummary,
    ListInfo,
    Page,
    PeerInfo,
    People,
    Person,
    QuoteRef,
    ReactionCount,
    ReplyRef,
    Shown,
    Status,
    Thread,
)

ME = cid_of(b"edda sol")
PEER: Final = "12D3KooWGjMCmzcMBjXMyGGuPmSUcsVTaDjMrWzyoBdVbfGjUpmj"


class FakeLists:
    """Lists of people in memory."""

    def __init__(self, people: dict[Cid, Person]) -> None:
        self.held: dict[str, list[Cid]] = {}
        self._people = people

    def create(self, name: str) -> None:
        if not name.isprintable():
            raise BadListName("the name of a list is one line")
        self.held.setdefault(name, [])

    def drop(self, name: str) -> None:
        del self._at(name)[:], self.held[name]

    def add(self, name: str, account: Cid) -> None:
        self._at(name).append(account)

    def remove(self, name: str, account: Cid) -> None:
        if account not in self._at(name):
            raise NotFound(f"{account} is not on the list {name!r}")
        self.held[name].remove(account)

    def all(self) -> tuple[ListInfo, ...]:
        return tuple(ListInfo(name, len(held)) for name, held in self.held.items())

    def members(self, name: str) -> tuple[Person, ...]:
        return tuple(self._people.get(who) or Person(who, "", None, "", False, False, 0) for who in self._at(name))

    def _at(self, name: str) -> list[Cid]:
        if name not in self.held:
            raise NotFound(f"there is no list {name!r}")
        return self.held[name]


class AwkwardAddress(UnhushError):
    """What the fake says to an address without a slash."""


@dataclass
class FakeNode:
    """The verbs of ``unhush.node.web.seam.Verbs``, and ``calls``: every one that changed something."""

    people: dict[Cid, Person] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    addresses: list[PeerInfo] = field(default_factory=list)
    machines: dict[str, tuple[Cid, ...]] = field(default_factory=dict)
    words_waiting: str | None = None
    problem: str = ""
    calls: list[tuple[object, ...]] = field(default_factory=list)
    now_ms: int = 0
    concerns: list[Concern] = field(default_factory=list)
    versions: dict[Cid, tuple[Shown, ...]] = field(default_factory=dict)
    given: dict[str, OpenInviteInfo] = field(default_factory=dict)
    taken: dict[Cid, AcceptedInvite] = field(default_factory=dict)
    promised: dict[Cid, KeptInfo] = field(default_factory=dict)
    keeping: dict[Cid, KeeperInfo] = field(default_factory=dict)
    offers: list[KeepingOffer] = field(default_factory=list)
    summary: KeptSummary = field(default_factory=KeptSummary)

    def __post_init__(self) -> None:
        self._aids = count(1)
        self._news = threading.Condition()
        self.lists = FakeLists(self.people)
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
            problem=self.problem, kept=self.summary, promises=len(self.promised),
        )  # fmt: skip

    def timeline(self, limit: int = 30, before: str | None = None, *, in_list: str | None = None) -> Page:
        if in_list is not None:
            members = {person.account for person in self.lists.members(in_list)}
            return self._page([one for one in self.shown if one.account in members], limit, before)
        return self._page([one for one in self.shown if self._is_home(one)], limit, before)

    def person_posts(self, account: Cid, limit: int = 30, before: str | None = None) -> Page:
        return self._page([one for one in self.shown if one.account == account], limit, before)

    def thread(self, cid: Cid) -> Thread:
        asked = self.show(cid)
        root_id = asked.reply.root if asked.reply else cid
        root = next((one for one in self.shown if one.id == root_id), None)
        replies = tuple(one for one in self.shown if one.reply and one.reply.root == root_id)
        return Thread(root, root_id, replies, grow(root_id, replies, lambda parent: Branch(parent, None, 0)))

    def show(self, cid: Cid) -> Shown:
        for one in self.shown:
            if one.id == cid:
                return one
        raise NotFound(f"no record {cid} is kept here")

    def person(self, account: Cid) -> Person:
        if account not in self.people:
            raise NotFound(f"no account {account} is known here")
        return self.people[account]

    def account_of(self, who: str) -> Cid:
        named = (person.account for person in self.people.values() if who in (person.name, person.petname))
        return next(named, None) or parse_cid(who)

    def activity(self, limit: int = 30, before: str | None = None) -> Activity:
        start = int(before) if before else 0
        found = self.concerns[start : start + limit]
        return Activity(tuple(found), str(start + limit) if start + limit < len(self.concerns) else None)

    def tagged(self, tag: str, limit: int = 30, before: str | None = None) -> Page:
        return self._page([one for one in self.shown if tag in one.tags], limit, before)

    def history(self, cid: Cid) -> tuple[Shown, ...]:
        return (*self.versions.get(cid, ()), self.show(cid))

    def followers(self, account: Cid, limit: int = 30, after: str | None = None) -> People:
        start = int(after) if after else 0
        everybody = tuple(self.people.values())
        return People(everybody[start : start + limit], str(start + limit) if start + limit < len(everybody) else None)

    follows_of = followers

    def shunned(self) -> tuple[Person, ...]:
        return tuple(person for person in self.people.values() if person.is_muted or person.is_blocked)

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

    def quote(self, cid: Cid, text: str) -> Shown:
        self.calls.append(("quote", cid, text))
        quoted = self.show(cid)
        return self.hears(ME, text, quote=QuoteRef(cid, quoted.account), quoted=quoted)

    def edit(self, cid: Cid, text: str) -> Shown:
        self.calls.append(("edit", cid, text))
        before = self.show(cid)
        self.versions[cid] = (*self.versions.get(cid, ()), before)
        return self._put(replace(before, text=text, edited_ms=self.now_ms))

    def delete(self, *records: Cid) -> None:
        self.calls.append(("delete", *records))
        for cid in records:
            self._put(replace(self.show(cid), is_deleted=True, text=""))

    def repost(self, cid: Cid) -> None:
        self._tally("repost", cid, reposts=1, is_reposted=True)

    def unrepost(self, cid: Cid) -> None:
        self._tally("unrepost", cid, reposts=0, is_reposted=False)

    def react(self, cid: Cid, emoji: str) -> None:
        if len(emoji) > 8:
            raise MalformedRecord("a reaction is one emoji")
        self._tally("react", cid, emoji, reactions=(ReactionCount(emoji, 1, True),))

    def unreact(self, cid: Cid, emoji: str) -> None:
        self._tally("unreact", cid, emoji, reactions=())

    def _tally(self, verb: str, cid: Cid, *more: str, **now: object) -> None:
        self.calls.append((verb, cid, *more))
        shown = self.show(cid)
        if shown.is_deleted:
            raise RecordDeleted(f"record {cid} was deleted by its author")
        self._put(replace(shown, tally=replace(shown.tally, **now)))  # type: ignore[arg-type]  # fields by name

    def _put(self, shown: Shown) -> Shown:
        self.shown[next(at for at, one in enumerate(self.shown) if one.id == shown.id)] = shown
        return shown

    def mute(self, account: Cid) -> None:
        self._shun("mute", account, is_muted=True)

    def unmute(self, account: Cid) -> None:
        self._shun("unmute", account, is_muted=False)

    def block(self, account: Cid) -> None:
        self._shun("block", account, is_blocked=True)

    def unblock(self, account: Cid) -> None:
        self._shun("unblock", account, is_blocked=False)

    def _shun(self, verb: str, account: Cid, **now: bool) -> None:
        self.calls.append((verb, account))
        self.people[account] = replace(self.people[account], **now)  # type: ignore[arg-type]  # fields by name

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

    def is_hidden_media(self, cid: Cid) -> bool:
        return False

    def people_at(self, peers: Collection[str]) -> dict[str, tuple[Person, ...]]:
        return {peer: tuple(map(self.person, self.machines[peer])) for peer in peers if peer in self.machines}

    def add_peer(self, text: str) -> None:
        if not text.startswith("/"):
            raise AwkwardAddress(f"not an address of a peer: {text!r}")
        self.calls.append(("add_peer", text))
        self.addresses.append(PeerInfo(text, None, False, False))

    def keep(self, account: Cid, budget: str, media: str) -> None:
        promise = KeptInfo(
            account, self._anybody(account).name, parse_budget(budget), parse_budget(budget), 0,
            parse_media(media).value, self.now_ms, records=0, receipt_ms=None, until_ms=None,
        )  # fmt: skip
        self.calls.append(("keep", account, promise.budget_bytes, media))
        self.promised[account] = promise
        self.offers = [replace(each, is_kept=each.account in self.promised) for each in self.offers]

    def accept_keeping(self, account: Cid, budget: str, media: str) -> None:
        if account not in {each.account for each in self.offers}:
            raise NotFound(f"{account} did not ask")
        self.keep(account, budget, media)

    def unkeep(self, account: Cid) -> None:
        if self.promised.pop(account, None) is None:
            raise NotFound(f"{account} is not kept here")
        self.calls.append(("unkeep", account))

    def kept(self, account: Cid | None = None) -> tuple[KeptInfo, ...]:
        return tuple(each for each in self.promised.values() if account in (None, each.account))

    def keepers(self) -> tuple[KeeperInfo, ...]:
        return tuple(self.keeping.values())

    def offer_keeping(self, keeper: Cid) -> None:
        self.calls.append(("offer_keeping", keeper))
        silent = KeeperInfo(keeper, "", True, False, None, None, 0, 0, False, None, "it has signed no receipt yet")
        known = self.keeping.get(keeper, silent)
        self.keeping[keeper] = replace(known, name=self._anybody(keeper).name, is_accepted=True)

    def withdraw_keeping(self, keeper: Cid) -> None:
        if self.keeping.pop(keeper, None) is None:
            raise NotFound(f"{keeper} was not asked")
        self.calls.append(("withdraw_keeping", keeper))

    def keeping_offers(self) -> tuple[KeepingOffer, ...]:
        return tuple(self.offers)

    def invite(self, *, expires_s: int, uses: int, in_list: str | None, asks_keeping: bool = False) -> GivenInvite:
        starter = tuple(person.account for person in self.lists.members(in_list)) if in_list else ()
        self.calls.append(("invite", expires_s, uses, in_list))
        until_ms = self.now_ms + 1000 * expires_s
        if asks_keeping:
            self.calls.append(("invite asks keeping",))
        said = Invite(ME, PEER, (), bytes(16), until_ms // 1000, "Edda Sol", starter, asks_keeping=asks_keeping)
        given = GivenInvite(f"invite{len(self.given)}", encode_invite(said), ME, (), starter, uses, until_ms)
        self.given[given.id] = OpenInviteInfo(given.id, self.now_ms, until_ms, uses, (), len(starter))
        return given

    def invites(self) -> tuple[OpenInviteInfo, ...]:
        return tuple(self.given.values())

    def cancel_invite(self, invite_id: str) -> None:
        if self.given.pop(invite_id, None) is None:
            raise NotFound(f"no open invite is called {invite_id!r}")

    def read_invite(self, text: str) -> ReadInvite:
        said = parse_invite(text)
        starter = tuple(self._anybody(who) for who in said.starter)
        return ReadInvite(
            encode_invite(said), said.account, said.name, ("word",) * 8, said.addresses, starter,
            said.until_s * 1000, self._anybody(said.account), said.until_s * 1000 <= self.now_ms,
            asks_keeping=said.asks_keeping,
        )  # fmt: skip

    def accept(
        self,
        invite: ReadInvite,
        *,
        petname: str | None,
        starter: Collection[Cid],
        timeout_s: float,
        keep: bool = False,
    ) -> AcceptedInvite:
        self.calls.append(("accept", invite.account, petname, tuple(starter)))
        self.follow(invite.account, petname)
        if keep:
            self.keep(invite.account, "1GiB", "none")
        done = AcceptedInvite(self.people[invite.account], "waiting", "", self.now_ms, invite.until_ms)
        self.taken[invite.account] = done
        return done

    def accepted(self) -> tuple[AcceptedInvite, ...]:
        return tuple(self.taken.values())

    def drop_accepted(self, account: Cid) -> None:
        if self.taken.pop(account, None) is None:
            raise NotFound(f"no invite of {account} was accepted here")

    def _anybody(self, who: Cid) -> Person:
        return self.people.get(who) or Person(who, "", None, "", False, False, 0)

    def wait_for_news(self, after_aid: int, timeout_s: float) -> int:
        until = time.monotonic() + timeout_s
        with self._news:
            while self._last() <= after_aid and (left := until - time.monotonic()) > 0:
                self._news.wait(left)
            return self._last()

    def count_answers(self, root: Cid, since_aid: int) -> int:
        return sum(one.aid > since_aid and one.reply is not None and one.reply.root == root for one in self.shown)

    def count_new(self, since_aid: int) -> int:
        return sum(one.aid > since_aid and self._is_home(one) for one in self.shown)

    def _last(self) -> int:
        return self.shown[-1].aid if self.shown else 0

    def _is_home(self, one: Shown) -> bool:
        person = self.people[one.account]
        return person.is_own or person.is_followed

    def _page(self, shown: list[Shown], limit: int, before: str | None) -> Page:
        listed = [one for one in shown if one.kind in ("post", "repost")]
        ordered = sorted(listed, key=lambda one: (one.time_ms, one.aid), reverse=True)
        start = int(before) if before else 0
        stop = start + limit
        return Page(tuple(ordered[start:stop]), str(stop) if stop < len(ordered) else None)
