"""Inviting people and accepting invites: from a text to two accounts that follow each other.

Whoever accepts follows the inviter at once and tells the inviter's machine, now
or as soon as it is reached; that machine follows back, once it has seen that
the token is one it gave and that the account signs for itself. Either side takes
it back as any follow: ``unfollow``.
"""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from unhush.gossip.errors import Unproven
from unhush.gossip.proto.accepting import (
    Acceptance,
    Code,
    Telling,
    check_acceptance,
    encode_acceptance,
    hash_token,
    parse_acceptance,
    sign_acceptance,
)
from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.invites import (
    MAX_NAME_BYTES,
    MAX_STARTER,
    TOKEN_BYTES,
    Invite,
    encode_invite,
    parse_invite,
)
from unhush.identity.cid import Cid
from unhush.identity.entry import parse_entry
from unhush.identity.errors import WrongNetwork
from unhush.identity.words import fingerprint
from unhush.node.account.identities import read_trunk
from unhush.node.account.secrets import Keys
from unhush.node.addresses import best_addresses
from unhush.node.config import DEFAULT_PORT, Config, check_address
from unhush.node.errors import BadConfig, InviteEnded, NotFound, NotRunning, UnhushError
from unhush.node.ids import as_cid
from unhush.node.keeping.verbs import Keeping
from unhush.node.names import LookAlikes, clean_name
from unhush.node.people.circle import Lists
from unhush.node.records.reading import Reader
from unhush.node.views import NetworkView, Person
from unhush.storage.accounts import Account, parse_operations
from unhush.storage.arrivals import Arrival, Batch
from unhush.storage.contacts import Contact
from unhush.storage.invites import MAX_USES, Accepted, OpenInvite, Stage, Use
from unhush.storage.kinds import Follow
from unhush.storage.records import Record
from unhush.storage.shunned import Shun
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

DAY_S: Final = 24 * 3600
USUAL_DAYS: Final = 7
# A text that lies about in mail boxes should not open a door for years.
MAX_VALID_S: Final = 30 * DAY_S
# How long accepting waits for the inviter's machine, unless told otherwise; it goes on in the background.
USUAL_WAIT_S: Final = 15.0

_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class GivenInvite:
    """A new invite. Only here is its text: what is kept cannot say it again."""

    id: str
    link: str
    account: Cid
    addresses: tuple[str, ...]
    starter: tuple[Cid, ...]
    uses: int
    until_ms: int
    is_makeshift: bool = False  # the usual port was taken: the node's own addresses are good until it ends
    asks_keeping: bool = False  # who accepts it is asked to keep the account


@dataclass(frozen=True, slots=True)
class OpenInviteInfo:
    """An invite that was given and has not ended."""

    id: str
    made_ms: int
    until_ms: int
    uses: int
    accepted: tuple[Person, ...]
    starter: int  # people it names to begin with
    asks_keeping: bool = False


@dataclass(frozen=True, slots=True)
class ReadInvite:
    """What somebody's invite says, and what is known here of whom it names."""

    link: str
    account: Cid
    name: str  # what the inviter calls themselves in it: no proof
    fingerprint: tuple[str, ...]
    addresses: tuple[str, ...]
    starter: tuple[Person, ...]
    until_ms: int
    person: Person
    is_over: bool
    imitates: str | None = None  # whom you know the name is like, though it is another account
    asks_keeping: bool = False  # the inviter asks you to keep their account


@dataclass(frozen=True, slots=True)
class AcceptedInvite:
    """An invite that was accepted here, and how far that has come."""

    person: Person  # who invited
    state: str  # "mutual", "waiting" (the inviter's machine was not reached yet), "refused" or "over"
    why: str  # it was refused
    since_ms: int
    until_ms: int
    followed: tuple[Cid, ...] = ()  # by accepting it just now


class Inviting(Keeping):
    """The part of a node that invites and accepts."""

    config: Config
    lists: Lists
    _keys: Keys
    _lingers: bool

    @abstractmethod
    def start_network(self) -> None: ...

    @abstractmethod
    def _network_view(self) -> NetworkView | None: ...

    # -- giving

    def invite(
        self,
        *,
        expires_s: int = USUAL_DAYS * DAY_S,
        uses: int = 1,
        in_list: str | None = None,
        addresses: Sequence[str] = (),
        asks_keeping: bool = False,
    ) -> GivenInvite:
        """Make an invite that ``uses`` accounts may accept within ``expires_s`` seconds.

        It carries where this node is reached: ``addresses`` in front (with or without our peer id), then where the
        running node listens. ``in_list`` names a list of people to begin with. ``asks_keeping``: who accepts it is
        asked to keep this account, and who says yes is accepted as a keeper. Raises ``NotRunning``, ``BadConfig``,
        ``NotFound`` for a list that is not there, ``InvitesFull``, ``MalformedInvite`` if it would be too long.
        """
        own = self.account()
        self.device()
        if not 1 <= uses <= MAX_USES:
            raise BadConfig(f"an invite is good for 1 to {MAX_USES} people, not {uses}")
        if not 60 <= expires_s <= MAX_VALID_S:
            raise BadConfig(f"an invite is good for a minute at least and {MAX_VALID_S // DAY_S} days at most")
        view = self._network_view()
        if view is None:
            raise NotRunning("an invite says where this node is reached, so it must be running: unhush run")
        starter = self._starter(in_list, own) if in_list is not None else ()
        now_ms = self.config.clock_ms()
        until_s = now_ms // 1000 + expires_s
        token = self.config.random_bytes(TOKEN_BYTES)
        with self._store.snapshot() as snapshot:
            profile = snapshot.profile(own)
        invite = Invite(
            account=own,
            peer_id=view.peer,
            addresses=best_addresses(_own_addresses(addresses, view.peer), view.listen),
            token=token,
            until_s=until_s,
            name=_hint(profile.name if profile is not None else ""),
            starter=starter,
            network=self.config.network,
            asks_keeping=asks_keeping,
        )
        link = encode_invite(invite)
        kept = OpenInvite(
            hash_token(token), now_ms, until_s * 1000, uses, starter=len(starter), asks_keeping=asks_keeping
        )
        self._store.invites.put(kept, now_ms)
        return GivenInvite(
            kept.id,
            link,
            own,
            invite.addresses,
            starter,
            uses,
            kept.until_ms,
            is_makeshift=view.is_makeshift and not addresses,
            asks_keeping=asks_keeping,
        )

    def invites(self) -> tuple[OpenInviteInfo, ...]:
        """Invites that were given and have not ended, the newest first."""
        given = self._store.invites.open(self.config.clock_ms())
        with self._store.snapshot() as snapshot:
            reader = Reader(snapshot)
            return tuple(
                OpenInviteInfo(
                    each.id,
                    each.made_ms,
                    each.until_ms,
                    each.uses,
                    tuple(map(reader.any_person, each.accepted)),
                    each.starter,
                    each.asks_keeping,
                )
                for each in given
            )

    def cancel_invite(self, invite_id: str) -> None:
        """End an invite; whom it brought stays followed. Raises ``NotFound``."""
        if not self._store.invites.cancel(invite_id):
            raise NotFound(f"no open invite is called {invite_id[:40]!r}")

    @abstractmethod
    def device(self) -> object:
        """The key this device signs with; raises ``KeyFileError``."""

    def _starter(self, name: str, own: Cid) -> tuple[Cid, ...]:
        people = tuple(person.account for person in self.lists.members(name) if person.account != own)
        if len(people) > MAX_STARTER:
            raise BadConfig(f"{len(people)} people are on the list; an invite names {MAX_STARTER} at most")
        return people

    # -- accepting

    def read_invite(self, text: str) -> ReadInvite:
        """What the invite in a text says; nothing is done yet.

        Raises ``MalformedInvite``, ``WrongNetwork``, and ``BadConfig`` for one of our own.
        """
        return self._read(parse_invite(text))

    def accept(
        self,
        invite: str | ReadInvite,
        *,
        petname: str | None = None,
        starter: Collection[Cid] | None = None,
        timeout_s: float = USUAL_WAIT_S,
        keep: bool = False,
    ) -> AcceptedInvite:
        """Follow the inviter, and have the inviter's node follow back.

        ``starter``: whom of the people to begin with to follow, all of them if it is None. Without a ``petname`` the
        name in the invite is taken, if the inviter is not known here and nobody else is called like that. With ``keep``
        this home also promises to keep the inviter's account, and an invite that asks for it is told. Waits
        ``timeout_s`` for the answer, if need be over a network that runs until ``close``; without one the running node
        goes on until the invite ends. Raises as ``read_invite``, ``InviteEnded``, ``InvitesFull``, ``NoAccount``.
        """
        own = self.account()
        parsed = parse_invite(invite.link if isinstance(invite, ReadInvite) else invite)
        read = self._read(parsed)
        if read.is_over:
            raise InviteEnded("this invite is over; ask for a new one")
        people = {person.account for person in read.starter}
        wanted = people if starter is None else people & set(starter)
        for address in parsed.addresses:
            self._store.put_contact(Contact(address, is_configured=False, is_invited=True))
        if petname is None and not (read.person.name or read.person.petname or read.imitates):
            petname = clean_name(parsed.name)
        new = () if read.person.is_followed else (parsed.account,)
        self.follow(parsed.account, petname or None)
        followed = new + self._follow_all(own, [who for who in parsed.starter if who in wanted])
        now_ms = self.config.clock_ms()
        if keep:
            self.keep(parsed.account)
        request = self._request(own, parsed, keeps=keep)
        accepted = Accepted(parsed.account, parsed.peer_id, request, now_ms, parsed.until_s * 1000)
        self._store.invites.put_accepted(accepted, now_ms)
        if timeout_s > 0:
            self._await_answer(parsed.account, timeout_s)
        return self._accepted(parsed.account, followed)

    def accepted(self) -> tuple[AcceptedInvite, ...]:
        """Invites that were accepted here and what became of them, the newest first."""
        held = self._store.invites.accepted()
        return tuple(self._describe(each) for each in held)

    def drop_accepted(self, account: Cid | str) -> None:
        """Tell an inviter no more; the follow stays. Raises ``NotFound``."""
        who = as_cid(account)
        if not self._store.invites.drop_accepted(who):
            raise NotFound(f"no invite of {who} was accepted here")

    def _read(self, invite: Invite) -> ReadInvite:
        if invite.network != self.config.network:
            raise WrongNetwork(invite.network, self.config.network)
        with self._store.snapshot() as snapshot:
            if invite.account == snapshot.own_account():
                raise BadConfig("this is an invite of your own account: give it to somebody else")
            reader = Reader(snapshot)
            known = [reader.any_person(who) for who in {*reader.named().values(), *_followed(snapshot)}]
            return ReadInvite(
                link=encode_invite(invite),
                account=invite.account,
                name=clean_name(invite.name),
                fingerprint=fingerprint(invite.account.digest),
                addresses=invite.addresses,
                starter=tuple(reader.any_person(who) for who in invite.starter),
                until_ms=invite.until_s * 1000,
                person=reader.any_person(invite.account),
                is_over=invite.until_s * 1000 <= self.config.clock_ms(),
                imitates=LookAlikes(known).find(invite.account, invite.name),
                asks_keeping=invite.asks_keeping,
            )

    def _follow_all(self, own: Cid, people: Sequence[Cid]) -> tuple[Cid, ...]:
        """Follow those that are not followed yet, in one commit."""
        with self._store.snapshot() as snapshot:
            me = _get_account(snapshot, own)
            wanted = tuple(
                who
                for who in dict.fromkeys(people)
                if who != own and not snapshot.does_follow(me, who) and not _is_other_record(snapshot, who)
            )
        if wanted:
            self._publish(*map(Follow, wanted))
        return wanted

    def _request(self, own: Cid, invite: Invite, *, keeps: bool) -> bytes:
        """What the inviter's machine is told: all that proves it, signed now, so that telling needs no key."""
        key = self._keys.device()
        with self._store.snapshot() as snapshot:
            me = _get_account(snapshot, own)
            records = snapshot.follow_records(me, invite.account)
            trunk = read_trunk(snapshot, me)
            about = [trunk.incept, trunk.table, trunk.rival, trunk.freeze, trunk.adds.get(key.public)]
            about.append(trunk.revokes.get(key.public))
            ids = frozenset(each.id for each in about if each is not None)
            operations = snapshot.operations(own, ids)
        if not records:
            raise BadConfig(f"{invite.account} cannot be followed, so its invite cannot be accepted")
        return encode_acceptance(
            Acceptance(
                token=invite.token,
                account=own,
                key=key.public,
                signature=sign_acceptance(
                    key,
                    token=invite.token,
                    account=own,
                    inviter=invite.account,
                    network=self.config.network,
                    keeps=keeps,
                ),
                operations=tuple(map(_travelling, operations)),
                follow=_travelling(records[-1]),
                keeps=keeps,
            )
        )

    def _await_answer(self, inviter: Cid, timeout_s: float) -> None:
        if self._network_view() is None:
            self.start_network()
            self._lingers = True
        due = time.monotonic() + timeout_s
        while time.monotonic() < due:
            held = self._store.invites.find_accepted(inviter)
            if held is None or held.stage is not Stage.WAITING:
                return
            time.sleep(_LOOK_EVERY_S)

    def _accepted(self, inviter: Cid, followed: tuple[Cid, ...]) -> AcceptedInvite:
        held = self._store.invites.find_accepted(inviter)
        if held is None:
            raise NotFound(f"no invite of {inviter} was accepted here")
        return self._describe(held, followed)

    def _describe(self, accepted: Accepted, followed: tuple[Cid, ...] = ()) -> AcceptedInvite:
        state = accepted.stage.value
        if accepted.stage is Stage.WAITING and accepted.until_ms <= self.config.clock_ms():
            state = "over"
        person = self._person(accepted.inviter)
        return AcceptedInvite(person, state, accepted.why, accepted.since_ms, accepted.until_ms, followed)


class Desk:
    """What the network asks of a home about invites; see ``gossip/net/meet/inviting.py``."""

    def __init__(self, node: Inviting) -> None:
        self._node = node
        self._store: Store = node._store

    def look_up(self, acceptance: Acceptance) -> Code | None:
        """What is wrong with the token; it is compared with every hash that is kept, and nothing is written."""
        token_hash, now_ms = hash_token(acceptance.token), self._node.config.clock_ms()
        return _REFUSED.get(self._store.invites.find_use(token_hash, acceptance.account, now_ms))

    def judge(self, acceptance: Acceptance) -> Code:
        """Follow back who accepts one of our invites and signs for the account that does."""
        store, config = self._store, self._node.config
        token_hash = hash_token(acceptance.token)
        worth = store.invites.find_use(token_hash, acceptance.account, config.clock_ms())
        if worth in _REFUSED:  # first, for it costs nothing; since it was looked up others may have used it
            return _REFUSED[worth]
        with store.snapshot() as snapshot:
            own = snapshot.own_account()
            known = snapshot.account(acceptance.account)
            held = parse_operations(snapshot.operations(acceptance.account)) if known is not None else []
            is_blocked = Shun.BLOCKED in snapshot.shun(acceptance.account)
            may_write = own is not None and not snapshot.why_not_to_write()
        if is_blocked:
            return Code.UNKNOWN
        if own is None or acceptance.account == own:
            return Code.UNPROVEN
        try:
            check_acceptance(acceptance, inviter=own, network=config.network, held=held)
        except Unproven:
            return Code.UNPROVEN
        if worth is Use.DONE:
            return Code.ACCEPTED
        if not may_write or not self._node._keys.is_device_open():
            return Code.LATER  # nobody is asked for a passphrase because of a stranger
        worth = store.invites.use(token_hash, acceptance.account, config.clock_ms())
        if worth in _REFUSED:  # somebody else was quicker
            return _REFUSED[worth]
        try:
            self._node.follow(acceptance.account)
            if acceptance.keeps and store.invites.asks_keeping(token_hash):
                self._node.offer_keeping(acceptance.account)
        except UnhushError:
            return Code.LATER
        store.invites.note_followed(token_hash, acceptance.account)
        brought = (*acceptance.operations, acceptance.follow)
        store.ingest(Batch(tuple(Arrival(each.entry, each.body) for each in brought), "an accepted invite"))
        return Code.ACCEPTED

    def waiting(self) -> tuple[Telling, ...]:
        now_ms = self._node.config.clock_ms()
        return tuple(
            Telling(each.inviter, each.peer_id, each.request)
            for each in self._store.invites.accepted()
            if each.stage is Stage.WAITING and each.until_ms > now_ms
        )

    def answered(self, telling: Telling, code: Code) -> None:
        match code:
            case Code.ACCEPTED:
                self._store.invites.settle(telling.inviter, telling.request, Stage.MUTUAL)
                # The follow went with the request: if it is there before sync begins, no session will say that it left.
                with contextlib.suppress(UnhushError):  # the row is damaged; then a session may still say so
                    follow = parse_entry(parse_acceptance(telling.request).follow.entry).header
                    self._store.put_handed_on(follow.key, ((follow.seq, follow.seq),))
            case Code.LATER:
                pass
            case _:
                self._store.invites.settle(telling.inviter, telling.request, Stage.REFUSED, code.value)


_REFUSED: Final = {Use.UNKNOWN: Code.UNKNOWN, Use.EXPIRED: Code.EXPIRED, Use.USED: Code.USED}


def why_refused(code: str) -> str:
    """The inviter's answer in words."""
    match code:
        case Code.UNKNOWN:
            return "their node does not know this invite: it was cancelled, or is of another machine"
        case Code.EXPIRED:
            return "the invite is over"
        case Code.USED:
            return "the invite was used up by others"
        case Code.UNPROVEN:
            return "their node was not convinced that this device speaks for your account; accept it once more"
    return f"their node refused: {clean_name(code)[:40]}"


def _own_addresses(given: Sequence[str], peer_id: str) -> tuple[str, ...]:
    """Addresses a person named for this machine, with its peer id; raises ``BadConfig``."""
    end = f"/p2p/{peer_id}"
    named = [each.strip() for each in given]
    for each in named:
        if not each.startswith("/"):
            raise BadConfig(
                f"not an address: {each[:200]!r}; one looks like /ip4/192.0.2.7/tcp/{DEFAULT_PORT} "
                f"or, with a name, /dns4/node.example/tcp/{DEFAULT_PORT}"
            )
    whole = tuple(check_address(each if "/p2p/" in each else each.rstrip("/") + end) for each in named)
    for each in whole:
        if not each.endswith(end):
            raise BadConfig(f"{each} is the address of another machine; the peer id of this one is {peer_id}")
    return whole


def _hint(name: str) -> str:
    return clean_name(name).encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")


def _get_account(snapshot: Snapshot, own: Cid) -> Account:
    me = snapshot.account(own)
    if me is None:
        raise NotFound(f"the account {own} has not arrived yet")
    return me


def _followed(snapshot: Snapshot) -> list[Cid]:
    own = snapshot.own_account()
    me = snapshot.account(own) if own is not None else None
    return list(snapshot.follows(me)) if me is not None else []


def _is_other_record(snapshot: Snapshot, who: Cid) -> bool:
    record = snapshot.record(who)
    return record is not None and record.cid != record.account


def _travelling(record: Record) -> Operation:
    return Operation(record.block, record.body or b"")
