"""The statements protocol on a host: peers' questions answered, ours asked, keepers put to the test.

Whom to ask and tell and when is for ``proto/telling.py``, whom to challenge for
``proto/proving.py``. The store is read and written on threads beside the loop;
what this node signs is signed elsewhere still (``Speaker``).
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar, assert_never

import trio

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, Host
from unhush.gossip.net.keep.challenging import Challenging
from unhush.gossip.net.keep.conversing import Conversation, Payloads
from unhush.gossip.net.keep.enquiring import Enquiring
from unhush.gossip.net.keep.shelf import Gained, Shelf, is_fresh
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.faults import RecordsRejected, SyncFault
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.proving import (
    ANSWERED,
    ANSWERED_INTERVAL_S,
    ANSWERED_PER_PEER,
    MAX_PAIRS,
    Outcome,
    Pair,
    Proving,
)
from unhush.gossip.proto.shares import Shares
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
    MAX_QUESTIONS,
    NO_EPOCH,
    PROTOCOL,
    About,
    Answer,
    Items,
    Prove,
    Since,
    Taken,
    Tell,
    ToldStatement,
    Unknown,
    encode_answer,
    parse_question,
)
from unhush.gossip.proto.tally import Met
from unhush.gossip.proto.telling import AskAbout, AskSince, Step, Telling, TellPeer
from unhush.identity.cid import Cid
from unhush.identity.statement import Card, Receipt
from unhush.storage.errors import StorageError
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Streams served at a time, in all and for one peer: each may hold a frame of half a megabyte.
MAX_SERVED: Final = 16
MAX_SERVED_PER_PEER: Final = 2
# A question comes as soon as the stream is open, and the next once the answer is there.
QUESTION_S: Final = 30.0
WRITE_S: Final = 30.0
# The other thread reads a disk and signs, a few at a time.
PROVE_S: Final = 15.0
# Questions ``since`` and ``about``: an honest peer asks once a minute, and twenty times when it takes up accounts.
QUESTIONS_PER_PEER: Final = 120
QUESTIONS: Final = 1_200
# Statements told: an honest peer tells 256 at once, and four a second.
TOLD_PER_PEER: Final = 600
TOLD: Final = 6_000
SHARES_S: Final = 60.0
# Statements gained lately, to be told from memory.
MAX_RECENT_BYTES: Final = 4_194_304
# Answers to ``since`` taken in one conversation.
MAX_ROUNDS: Final = 16
# Keepers and accounts whose cards are at hand.
MAX_CARDS: Final = 8_192

# An address, which accounts may be carried there, and the peer that told us; without one, what the store remembers.
Learn = Callable[[str, frozenset[Cid], str | None], None]
_Found = TypeVar("_Found")


class Speaker(Protocol):
    """Who signs for this node; on another thread."""

    def prove(self, question: Prove, done: Callable[[Sequence[ToldStatement]], None], /) -> bool:
        """Answer a challenge later, by ``done`` on any thread; False if too many wait, and it is never called."""
        ...


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
        self._speaker = config.speaker
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
        self._own: Cid | None = None
        self._carried: frozenset[Cid] = frozenset()
        self._until_ms: dict[Pair, int] = {}  # when the receipts of keepers of carried accounts end
        self._proven_ms: dict[Pair, int] = {}
        self._cards: dict[Cid, tuple[str, ...]] = {}  # where the machines of carried accounts and keepers are
        self._looked_up: set[Cid] = set()
        self._minded: frozenset[Cid] = frozenset()  # those carried, and their keepers
        self._filter = b""
        self._is_stale = True  # of the two above, and of whom there is to challenge
        self._recent: dict[bytes, ToldStatement] = {}
        self._recent_bytes = 0
        self._served: dict[str, int] = {}
        self._questions = Shares(QUESTIONS_PER_PEER, QUESTIONS, SHARES_S)
        self._told = Shares(TOLD_PER_PEER, TOLD, SHARES_S)
        self._proofs = Shares(ANSWERED_PER_PEER, ANSWERED, ANSWERED_INTERVAL_S)
        self._readers = trio.CapacityLimiter(2)
        self._writer = trio.CapacityLimiter(1)
        self._poked = trio.Event()
        self._not_told = 0

    # -- what it is told

    def start(self) -> None:
        """Answer peers, and hear of every connection from now on."""
        self._host.handle(PROTOCOL, self._serve)
        self._host.on_connected(self._connected)
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
        self._is_stale = True
        self._poked.set()

    def said(self, items: Iterable[ToldStatement]) -> None:
        """This node said something, which is in the store already: tell who wants to know."""
        for gained in self._shelf.read(items):
            self._gained(gained, None)

    def want(self, account: Cid) -> None:
        """Somebody here needs to know about an account."""
        self._telling.want(account, trio.current_time())
        self._poked.set()

    def machines_of(self, account: Cid) -> frozenset[str]:
        """The peers that cards of an account name."""
        return frozenset(address.rpartition("/p2p/")[2] for address in self._cards.get(account, ()))

    # -- asking, telling, challenging

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._poked = trio.Event()
                await self._look_up()
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
                        items = tuple(self._recent[each] for each in step.digests if each in self._recent)
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
        total = 0
        for _ in range(MAX_ROUNDS):
            answer = await conversation.ask(Since(epoch, n, self._filter))
            if not isinstance(answer, Items) or not answer.epoch:
                break
            total += await self._take(step.peer_id, answer.items)
            if (answer.epoch, answer.n) != (epoch, n):
                epoch, n = answer.epoch, answer.n
                await trio.to_thread.run_sync(self._shelf.note_cursor, step.peer_id, epoch, n, limiter=self._writer)
            if not answer.is_more:
                break
        else:
            self._telling.asked(step, trio.current_time(), gained=total, is_more=True)
            return
        self._telling.asked(step, trio.current_time(), gained=total)

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

    # -- answering

    async def _serve(self, stream: Stream) -> None:
        """Answer one peer's questions, one after the other; what breaks the rules raises."""
        peer_id = stream.peer_id
        mine = self._served.get(peer_id, 0)
        if mine >= MAX_SERVED_PER_PEER or sum(self._served.values()) >= MAX_SERVED:
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            await stream.reset()
            return
        self._served[peer_id] = mine + 1
        try:
            await self._converse(stream)
        except StreamBroken as exc:
            log.debug("statements broke peer=%s reason=%s", peer_id, exc)
            await stream.reset()
        except trio.TooSlowError:
            log.debug("statements are too slow peer=%s", peer_id)
            await stream.reset()
        finally:
            self._served[peer_id] -= 1
            if not self._served[peer_id]:
                del self._served[peer_id]

    async def _converse(self, stream: Stream) -> None:
        payloads = Payloads(stream)
        for _ in range(MAX_QUESTIONS):
            with trio.fail_after(QUESTION_S):
                payload = await payloads.next()
            if payload is None:
                break
            answer = await self._answer(stream.peer_id, payload)
            with trio.fail_after(WRITE_S):
                await stream.write(frame(encode_answer(answer)))
        await stream.close()

    async def _answer(self, peer_id: str, payload: bytes) -> Answer:
        question = parse_question(payload)
        if not self._questions.spend(peer_id, 1, trio.current_time()):
            self._host.tally.count(Met.STATEMENTS_PUT_OFF)
            raise StreamBroken("asked more often than any use of it")
        try:
            match question:
                case Since():
                    self._telling.heard_filter(peer_id, question.carriage)
                    return await self._read(partial(self._shelf.since, question))
                case About(accounts):
                    return await self._read(partial(self._shelf.about, accounts))
                case Tell(items):
                    return await self._hear(peer_id, items)
                case Prove():
                    return Items(tuple(await self._prove(peer_id, question)))
                case Unknown():
                    return Items()
                case _:
                    assert_never(question)
        except StorageError as exc:  # ours, and not to be held against the peer
            log.warning("statements could not be looked up: %s", exc)
            raise StreamBroken("the store cannot be read now") from exc

    async def _hear(self, peer_id: str, items: Sequence[ToldStatement]) -> Taken:
        if not self._told.spend(peer_id, len(items), trio.current_time()):
            self._host.tally.count(Met.STATEMENT_IGNORED, len(items))
            return Taken(0)
        return Taken(await self._take(peer_id, items))

    async def _prove(self, peer_id: str, question: Prove) -> Sequence[ToldStatement]:
        if self._speaker is None:
            return ()
        if not self._proofs.spend(peer_id, 1, trio.current_time()):
            self._host.tally.count(Met.PROOF_REFUSED)
            return ()
        token, answered = trio.lowlevel.current_trio_token(), trio.Event()
        answer: list[ToldStatement] = []

        def done(items: Sequence[ToldStatement]) -> None:
            answer.extend(items[:MAX_ITEMS])
            try:
                token.run_sync_soon(answered.set)
            except trio.RunFinishedError:
                log.debug("an answer after the network ended")

        if not self._speaker.prove(question, done):
            self._host.tally.count(Met.PROOF_REFUSED)
            return ()
        with trio.move_on_after(PROVE_S) as waiting:
            await answered.wait()
        return () if waiting.cancelled_caught else answer

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
                self._heard_card(statement.account, peers, source)
            case Receipt(of) if of in self._carried and statement.account != self._own:
                pair = Pair(of, statement.account)
                if is_fresh(statement, self._clock_ms()):
                    self._until_ms[pair] = statement.expires
                else:
                    self._until_ms.pop(pair, None)
                self._is_stale = True
            case _:
                pass
        self._poked.set()

    def _remember(self, digest: bytes, told: ToldStatement) -> None:
        if digest in self._recent:
            return
        self._recent[digest] = told
        self._recent_bytes += told.travel_bytes
        while self._recent_bytes > MAX_RECENT_BYTES:
            oldest = next(iter(self._recent))
            self._recent_bytes -= self._recent.pop(oldest).travel_bytes

    def _heard_card(self, account: Cid, peers: tuple[str, ...], source: str | None) -> None:
        """Its addresses are hearsay of whoever gave it, worth a dial by whoever wants the account."""
        # The newest of one device; of another the older ones stay until the cards are looked up again.
        machines = {address.rpartition("/p2p/")[2] for address in peers}
        others = [each for each in self._cards.get(account, ()) if each.rpartition("/p2p/")[2] not in machines]
        self._cards.pop(account, None)
        self._cards[account] = (*peers, *others)[:MAX_WHERE]
        if len(self._cards) > MAX_CARDS:
            del self._cards[next(iter(self._cards))]
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
        # The own account first: its owner wants to know most of all.
        for pair in sorted(self._until_ms, key=lambda pair: pair.of != self._own):
            if self._until_ms[pair] > now_ms and len(pairs) < MAX_PAIRS:
                proven_ms = self._proven_ms.get(pair)
                pairs[pair] = None if proven_ms is None else max(0, now_ms - proven_ms) / 1_000
        self._proving.set_pairs(pairs, now, own=self._own)

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
        self._proven_ms |= known.proven_ms
        for account, cards in known.cards.items():
            for card in cards:
                self._heard_card(account, card.peers, None)
        self._is_stale = True

    def _addresses_of(self, keeper: Cid) -> tuple[str, ...]:
        return self._cards.get(keeper, ())

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
# Addresses of one account.
MAX_WHERE: Final = 32
