"""The statements protocol on a host: peers' questions answered, ours asked, keepers put to the test.

Whom to ask and tell and when is for ``proto/telling.py``, whom to challenge for
``proto/proving.py``. The store is read and written on threads beside the loop;
what this node signs is signed elsewhere still (``serving.Speaker``).
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, assert_never

import trio

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.keep.challenging import Challenging
from unhush.gossip.net.keep.conversing import Conversation
from unhush.gossip.net.keep.enquiring import Enquiring
from unhush.gossip.net.keep.serving import Serving, Speaker
from unhush.gossip.net.keep.shelf import Gained, Shelf, is_fresh
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.faults import RecordsRejected, SyncFault
from unhush.gossip.proto.proving import (
    MAX_PAIRS,
    Outcome,
    Pair,
    Proving,
)
from unhush.gossip.proto.shares import Asker, Shares
from unhush.gossip.proto.sightings import rented_block_of
from unhush.gossip.proto.statements import (
    NO_EPOCH,
    PROTOCOL,
    About,
    Items,
    Since,
    Tell,
    ToldStatement,
    fitting,
)
from unhush.gossip.proto.tally import Met
from unhush.gossip.proto.telling import AskAbout, AskSince, Step, Telling, TellPeer
from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Card, Receipt
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Statements gained lately, to be told from memory.
MAX_RECENT_BYTES: Final = 4_194_304
# Answers to ``since`` taken in one conversation.
MAX_ROUNDS: Final = 16
# Statements taken in answers to ``since``, which cost some signature checks each: as much as an honest peer looks up
# for us in a minute. An answer with none counts as a few, for who says forever that there is more.
GIVEN_PER_PEER: Final = 2_048
GIVEN: Final = 16_384
GIVEN_S: Final = 60.0
GIVEN_AT_LEAST: Final = 16
# Whose word counts is looked up again so often.
TRUST_S: Final = 60.0
# Keepers and accounts whose cards are at hand.
MAX_CARDS: Final = 8_192

# An address, which accounts may be carried there, and the peer that told us; without one, what the store remembers.
Learn = Callable[[str, frozenset[Cid], str | None], None]
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class KeepConfig:
    """Who signs for this node, and its wall clock in Unix milliseconds."""

    speaker: Speaker | None = None
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class StatementService:
    """Lives on the network's loop; ``run`` until cancelled."""

    def __init__(
        self,
        host: Host,
        store: Store,
        *,
        network: str,
        learn: Learn,
        config: KeepConfig,
    ) -> None:
        self._host = host
        self._shelf = Shelf(store, config.clock_ms)
        self._clock_ms = config.clock_ms
        self._learn = learn
        # Nobody may know which entries will be asked for, so it is another seed in every run.
        self._telling = Telling(seed=os.urandom(16))
        self._proving = Proving(seed=os.urandom(32))
        self._challenging = Challenging(
            host, store, network=network, clock_ms=config.clock_ms, addresses_of=self._addresses_of
        )
        self.enquiring = Enquiring(
            host,
            store,
            clock_ms=config.clock_ms,
            challenging=self._challenging,
            take=self._take,
            challenge=self._challenge,
        )
        self._serving = Serving(
            host,
            self._shelf,
            speaker=config.speaker,
            heard_filter=self._telling.heard_filter,
            take=self._take,
            is_known=self._is_known,
        )
        self._given = Shares(GIVEN_PER_PEER, GIVEN, GIVEN_S)
        self._own: Cid | None = None
        self._carried: frozenset[Cid] = frozenset()
        self._until_ms: dict[Pair, int] = {}  # when the receipts of keepers of carried accounts end
        self._proven_ms: dict[Pair, int] = {}
        self._keys: dict[Pair, dict[PublicKey, None]] = {}  # the devices that gave those
        # Where the machines of carried accounts and keepers are, by the device that says so.
        self._cards: dict[Cid, dict[PublicKey, tuple[str, ...]]] = {}
        self._trusted: frozenset[Pair] = frozenset()  # keepers whose word counts
        self._trust_at = 0.0  # when that is looked up again
        self._friends: frozenset[str] = frozenset()  # machines of those carried, and of these keepers
        self._looked_up: set[Cid] = set()
        self._minded: frozenset[Cid] = frozenset()  # those carried, and their keepers
        self._filter = b""
        self._is_stale = True  # of the two above, and of whom there is to challenge
        self._recent: dict[bytes, ToldStatement] = {}
        self._recent_bytes = 0
        self._readers = trio.CapacityLimiter(2)
        self._writer = trio.CapacityLimiter(1)
        self._poked = trio.Event()
        self._not_told = 0

    # -- what it is told

    def start(self) -> None:
        """Answer peers, and hear of every connection from now on."""
        self._host.handle(PROTOCOL, self._serving.serve)
        self._host.on_settled(self._connected)
        self._host.on_disconnected(lambda peer: self._telling.disconnected(peer.peer_id))
        for peer in self._host.connected():
            self._connected(peer)

    def carry(self, accounts: frozenset[Cid], own: Cid | None) -> None:
        """These are carried here now, ``own`` among them."""
        if (accounts, own) == (self._carried, self._own):
            return
        self._own = own
        self._carried = accounts
        self._looked_up &= accounts
        self._until_ms = {pair: until for pair, until in self._until_ms.items() if pair.of in accounts}
        self._keys = {pair: keys for pair, keys in self._keys.items() if pair.of in accounts}
        self._is_stale = True
        self._poked.set()

    def said(self, items: Iterable[ToldStatement]) -> None:
        """This node said something, which is in the store already: tell who wants to know."""
        for gained in self._shelf.read(items):
            self._gained(gained, None)

    def machines_of(self, account: Cid) -> frozenset[str]:
        """The peers that cards of an account name."""
        cards = self._cards.get(account, {}).values()
        return frozenset(address.rpartition("/p2p/")[2] for addresses in cards for address in addresses)

    def _is_known(self, peer_id: str) -> bool:
        """Whether we chose a peer, or it is a machine of somebody carried here or of a keeper that counts."""
        peer = self._host.find_peer(peer_id)
        return peer_id in self._friends or (peer is not None and not peer.inbound)

    def _block_of(self, peer_id: str) -> str | None:
        peer = self._host.find_peer(peer_id)
        return rented_block_of(peer.address if peer is not None else "")

    # -- asking, telling, challenging

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._poked = trio.Event()
                await self._look_up()
                await self._look_up_trust()
                if self._is_stale:
                    self._mind()
                now = trio.current_time()
                for step in self._telling.decide(now):
                    nursery.start_soon(self._carry_out, step)
                for pair in self._proving.take_due(now):
                    nursery.start_soon(self._challenge, pair)
                self._count_not_told()
                due = min(self._telling.next_time(now), self._proving.next_time(now))
                with trio.move_on_after(max(MIN_WAIT_S, due - now)):
                    await self._poked.wait()

    async def _carry_out(self, step: Step) -> None:
        """Nothing that happens in here is worth the network."""
        is_done = False
        try:
            async with Conversation(self._host, step.peer_id) as conversation:
                match step:
                    case AskSince():
                        await self._ask_since(conversation, step)
                    case AskAbout():
                        answer = await conversation.ask(About(step.accounts))
                        gained = await self._take(step.peer_id, answer.items) if isinstance(answer, Items) else 0
                        self._telling.asked(step, trio.current_time(), gained=gained)
                    case TellPeer():
                        items = fitting(self._recent[each] for each in step.digests if each in self._recent)
                        if items:
                            await conversation.ask(Tell(items))
                        self._telling.told(step, trio.current_time())
                    case _:
                        assert_never(step)
            is_done = True
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("no statements peer=%s reason=%s", step.peer_id, exc)
        except SyncFault as exc:
            self._host.report_fault(step.peer_id, f"{type(exc).__name__}: {exc}")
        except StorageError as exc:
            log.warning("statements not kept peer=%s reason=%s", step.peer_id, exc)
        except Exception:  # ours; no statement is worth the network
            log.exception("statements failed peer=%s", step.peer_id)
        finally:
            if not is_done:
                self._telling.refused(step, trio.current_time())
            self._poked.set()

    async def _ask_since(self, conversation: Conversation, step: AskSince) -> None:
        cursor = await self._read(partial(self._shelf.find_cursor, step.peer_id))
        epoch, n = cursor if cursor is not None else (NO_EPOCH, 0)
        total, is_more = 0, False
        asker = Asker(step.peer_id, self._block_of(step.peer_id), self._is_known(step.peer_id))
        for _ in range(MAX_ROUNDS):
            if not self._given.is_open(asker, trio.current_time()):
                self._telling.asked(step, trio.current_time(), gained=total)  # the rest with the next regular question
                return
            answer = await conversation.ask(Since(epoch, n, self._filter))
            if not isinstance(answer, Items) or not answer.epoch:
                break
            self._given.charge(asker, max(GIVEN_AT_LEAST, len(answer.items)), trio.current_time())
            total += await self._take(step.peer_id, answer.items)
            is_new = (answer.epoch, answer.n) != (epoch, n)
            if is_new:
                epoch, n = answer.epoch, answer.n
                await trio.to_thread.run_sync(self._shelf.note_cursor, step.peer_id, epoch, n, limiter=self._writer)
            is_more = answer.is_more
            if not is_more or not is_new:
                break  # that is all, or all for now
        self._telling.asked(step, trio.current_time(), gained=total, is_more=is_more)

    async def _challenge(self, pair: Pair) -> bool:
        """Whether the keeper answered."""
        outcome = Outcome.NOTHING
        is_answered = False
        try:
            numbers = [self._proving.number() for _ in range(DRAWS)]
            answered = await self._challenging.challenge(pair, self._proving.nonce(), numbers)
            outcome = answered.judgement.outcome
            is_answered = bool(answered.given)
            if is_answered:
                # An absent and the receipts it stands under are news for everybody, and evidence.
                await self._take(None, answered.given)
            if outcome is Outcome.PROVEN:
                self._proven_ms[pair] = self._clock_ms()
        except Exception:  # ours, or a full disk
            log.exception("a challenge failed keeper=%s", pair.keeper)
        finally:
            self._proving.ended(pair, outcome, trio.current_time())
            self._poked.set()
        return is_answered

    # -- what is gained

    async def _take(self, peer_id: str | None, items: Sequence[ToldStatement]) -> int:
        """Take in what a peer gave; how much of it is new. Raises ``RecordsRejected`` for what is its fault."""
        if not items:
            return 0
        asked = self._minded - self._carried | self._telling.wanted()
        taken = await trio.to_thread.run_sync(self._shelf.take, items, asked, limiter=self._writer)
        for gained in taken.gained:
            self._gained(gained, peer_id)
        if peer_id is not None:
            self._telling.has(peer_id, taken.known)
        if taken.is_faulty and peer_id is not None:
            raise RecordsRejected("a statement that nobody signed, or that breaks its rules")
        return len(taken.gained)

    def _gained(self, gained: Gained, source: str | None) -> None:
        statement, now = gained.statement, trio.current_time()
        self._remember(statement.digest, gained.told)
        self._telling.gained(statement.digest, gained.concerns, now, source=source)
        match statement.claim:
            case Card(peers):
                self._heard_card(statement.account, statement.key, peers, source)
            case Receipt(of) if of in self._carried and statement.account != self._own:
                pair = Pair(of, statement.account)
                if gained.is_trusted:
                    self._trusted |= {pair}
                if is_fresh(statement, self._clock_ms()):
                    self._kept(pair, statement.key, statement.expires)
                else:
                    self._ended(pair, statement.key)
                self._is_stale = True
            case _:
                pass
        self._poked.set()

    def _kept(self, pair: Pair, key: PublicKey, until_ms: int) -> None:
        """A device says that it keeps an account."""
        self._until_ms.pop(pair, None)
        self._until_ms[pair] = until_ms
        others = [each for each in self._keys.get(pair, ()) if each != key]
        self._keys[pair] = dict.fromkeys([key, *others][:MAX_DEVICES])  # the newest first
        if len(self._until_ms) > MAX_KNOWN:
            oldest = next((each for each in self._until_ms if each not in self._trusted), next(iter(self._until_ms)))
            del self._until_ms[oldest]
            self._keys.pop(oldest, None)

    def _ended(self, pair: Pair, key: PublicKey) -> None:
        """A device takes its receipt back; others of the keeper may keep the account still."""
        keys = self._keys.get(pair, {})
        keys.pop(key, None)
        if not keys:
            self._keys.pop(pair, None)
            self._until_ms.pop(pair, None)

    def _remember(self, digest: bytes, told: ToldStatement) -> None:
        if digest in self._recent:
            return
        self._recent[digest] = told
        self._recent_bytes += told.travel_bytes
        while self._recent_bytes > MAX_RECENT_BYTES:
            oldest = next(iter(self._recent))
            self._recent_bytes -= self._recent.pop(oldest).travel_bytes

    def _heard_card(self, account: Cid, key: PublicKey, peers: tuple[str, ...], source: str | None) -> None:
        """Its addresses are hearsay of whoever gave it, worth a dial by whoever wants the account."""
        cards = self._cards.pop(account, {})
        self._cards[account] = cards  # at the end, as heard of last
        cards[key] = peers
        if len(cards) > MAX_DEVICES:
            del cards[next(iter(cards))]
        if len(self._cards) > MAX_CARDS:
            del self._cards[next(iter(self._cards))]
        if account in self._carried:
            self._is_stale = True  # its machines are known now
        kept = {pair.of for pair in self._until_ms if pair.keeper == account}
        for address in peers:
            self._learn(address, frozenset({account, *kept}), source)
        self._proving.nudge(account, trio.current_time())

    # -- whom it is about

    def _connected(self, peer: ConnectedPeer) -> None:
        now = trio.current_time()
        self._telling.connected(peer.peer_id, now)
        for account in self._keepers():
            if peer.peer_id in self.machines_of(account):
                self._proving.nudge(account, now)
        self._poked.set()

    def _keepers(self) -> frozenset[Cid]:
        return frozenset(pair.keeper for pair in self._until_ms)

    def _mind(self) -> None:
        """Whose statements are wanted has changed, or whom there is to challenge."""
        self._is_stale = False
        now, now_ms = trio.current_time(), self._clock_ms()
        minded = self._carried | self._keepers()
        if minded != self._minded:
            self._minded = minded
            self._filter = pack_carriage(minded)
        if self._carried:
            self._telling.mind(minded, now)
        pairs: dict[Pair, float | None] = {}
        # The own account first, its owner wants to know most of all; and keepers whose word counts before strangers.
        for pair in sorted(self._until_ms, key=lambda pair: (pair.of != self._own, pair not in self._trusted)):
            if self._until_ms[pair] > now_ms and len(pairs) < MAX_PAIRS:
                proven_ms = self._proven_ms.get(pair)
                pairs[pair] = None if proven_ms is None else max(0, now_ms - proven_ms) / 1_000
        self._proving.set_pairs(pairs, now, own=self._own)
        close = self._carried | {pair.keeper for pair in self._trusted}
        self._friends = frozenset().union(*(self.machines_of(each) for each in close if each in self._cards))

    async def _look_up(self) -> None:
        """What the store knows of accounts that were not looked at yet."""
        if self._looked_up == self._carried:
            return
        fresh = sorted(self._carried - self._looked_up, key=lambda account: (account != self._own, account))
        self._looked_up |= self._carried
        try:
            known = await self._read(partial(self._shelf.look_up, fresh, self._own))
        except StorageError as exc:
            log.warning("statements could not be looked up: %s", exc)
            return
        self._until_ms = known.until_ms | self._until_ms
        self._trusted |= known.trusted
        self._keys = known.keys | self._keys
        self._proven_ms |= known.proven_ms
        for account, cards in known.cards.items():
            for card in reversed(cards):  # the newest last
                if isinstance(card.claim, Card):
                    self._heard_card(account, card.key, card.claim.peers, None)
        self._is_stale = True

    async def _look_up_trust(self) -> None:
        """Follows and records that accept a keeper come after receipts too."""
        if trio.current_time() < self._trust_at:
            return
        try:
            trusted = await self._read(partial(self._shelf.trusted, tuple(self._until_ms)))
            self._is_stale |= trusted != self._trusted
            self._trusted = trusted
        except StorageError as exc:
            log.warning("whose word counts could not be looked up: %s", exc)
        self._trust_at = trio.current_time() + TRUST_S

    def _addresses_of(self, pair: Pair) -> tuple[str, ...]:
        """Of the machine that gave the receipt; if it has no card, of all that the keeper has."""
        cards = self._cards.get(pair.keeper, {})
        keys = [key for key in self._keys.get(pair, ()) if key in cards] or list(cards)
        return tuple(address for key in keys for address in cards[key])

    def _count_not_told(self) -> None:
        new = self._telling.not_told - self._not_told
        if new:
            self._not_told += new
            self._host.tally.count(Met.STATEMENT_NOT_TOLD, new)

    async def _read(self, act: Callable[[], _Found]) -> _Found:
        return await trio.to_thread.run_sync(act, limiter=self._readers)


# Looks follow each other no closer, unless something happened in between.
MIN_WAIT_S: Final = 0.05
# Entries drawn for one challenge until there is one that can be asked for.
DRAWS: Final = 8
# Keepers of accounts that are remembered; of more those that said so longest ago are forgotten.
MAX_KNOWN: Final = 8_192
# Machines of one account: a keeper may share its work among many.
MAX_DEVICES: Final = 64
