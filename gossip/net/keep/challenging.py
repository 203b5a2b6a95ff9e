"""Challenges: asking a keeper for what its receipt says it has, and keeping what the answer is worth.

When and whom, ``proto/proving.py`` decides. Here the entry is looked up, a way to
the keeper found, and its answer checked against the body that is held.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from unhush.gossip.errors import DialFailed, MalformedAddress, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host
from unhush.gossip.net.keep.conversing import Conversation
from unhush.gossip.net.keep.shelf import is_fresh
from unhush.gossip.proto.addresses import Scope, parse_address
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.proving import (
    Challenge,
    Judgement,
    Outcome,
    Pair,
    choose,
    find_covered,
    judge,
)
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.statements import Items, Prove, ToldStatement
from unhush.identity.cid import Cid, cid_of
from unhush.identity.errors import UnhushError
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Head, Receipt, Statement, parse_statement, verify_statement
from unhush.storage.errors import StorageError
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# The keeper's node answers in turn, reads a disk and signs.
ANSWER_S: Final = 20.0
# Entries drawn until one has a body here that can be asked for.
DRAWS: Final = 8
# Places that dials for challenges leave for neighbours, as those of the DHT do.
PLACES_LEFT: Final = 8
MAX_DIALS: Final = 2


@dataclass(frozen=True, slots=True)
class Answered:
    """How a challenge ended, and what the keeper gave that may be kept."""

    judgement: Judgement
    given: tuple[ToldStatement, ...] = ()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is asked for, and the body it should have."""

    challenge: Challenge
    body: bytes


class Challenging:
    """Carries challenges out.

    ``addresses_of`` gives where cards say that the machine is which gave the receipt: a keeper may have several, and
    each knows what it keeps itself.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        *,
        network: str,
        clock_ms: Callable[[], int],
        addresses_of: Callable[[Pair], Iterable[str]],
    ) -> None:
        self._host = host
        self._store = store
        self._network = network
        self._clock_ms = clock_ms
        self._addresses_of = addresses_of

    async def challenge(self, pair: Pair, nonce: bytes, numbers: Sequence[int]) -> Answered:
        """Challenge a keeper for the entry that ``numbers`` draw, and keep what the answer is worth."""
        try:
            drawn = await trio.to_thread.run_sync(self._draw, pair, nonce, numbers)
            if drawn is None:
                return _nothing("nothing here that the receipt surely covers")
            asked = drawn.challenge
            given = await self.ask(asked.keeper, Prove(asked.of, asked.entry, asked.nonce))
            if not given:
                return _nothing("no answer")
            judgement = await trio.to_thread.run_sync(self._judge, drawn, given)
        except (StorageError, UnhushError) as exc:  # a damaged row of ours accuses nobody
            log.warning("a challenge was not carried out keeper=%s reason=%s", pair.keeper, exc)
            return _nothing("not looked up")
        log.info("challenged keeper=%s of=%s outcome=%s %s", pair.keeper, pair.of, judgement.outcome, judgement.why)
        return Answered(judgement, given)

    # -- what to ask for

    def _draw(self, pair: Pair, nonce: bytes, numbers: Sequence[int]) -> _Drawn | None:
        """On a thread."""
        with self._store.snapshot() as snapshot:
            receipt = self._newest_receipt(snapshot, pair)
            if receipt is None:
                return None
            claim = receipt.claim
            assert isinstance(claim, Receipt)
            withheld = {each.entry for each in claim.withheld}
            spans = find_covered(claim, _held(snapshot, claim))
            for number in numbers:
                found = choose(spans, number)
                if found is None:
                    return None
                key, seq = found
                run = snapshot.run(pair.of, key, seq, seq, _ANY_SIZE)
                if len(run) != 1 or run[0].body is None or run[0].cid in withheld or snapshot.is_deleted(run[0]):
                    continue
                if cid_of(run[0].body) != run[0].entry.header.body:
                    continue  # our disk, not the keeper's
                return _Drawn(Challenge(pair.of, pair.keeper, key, seq, run[0].cid, nonce, receipt), run[0].body)
        return None

    def _newest_receipt(self, snapshot: Snapshot, pair: Pair) -> Statement | None:
        now_ms = self._clock_ms()
        fresh = [
            each for each in snapshot.receipts_of(pair.of) if each.account == pair.keeper and is_fresh(each, now_ms)
        ]
        return max(fresh, key=lambda each: (each.time, each.digest), default=None)

    # -- asking

    async def ask(self, keeper: Cid, question: Prove) -> tuple[ToldStatement, ...]:
        """What the keeper's machine answers; nothing if none is reached or it says nothing."""
        peer_id, is_ours = await self._find_way(Pair(question.of, keeper))
        if peer_id is None:
            return ()
        try:
            with trio.fail_after(ANSWER_S):
                async with Conversation(self._host, peer_id) as conversation:
                    answer = await conversation.ask(question)
            return answer.items if isinstance(answer, Items) else ()
        except (StreamRefused, NotConnected, StreamBroken, trio.TooSlowError) as exc:
            log.debug("no answer to a challenge peer=%s reason=%s", peer_id, exc)
        except SyncFault as exc:
            self._host.report_fault(peer_id, f"{type(exc).__name__}: {exc}")
        finally:
            if is_ours:
                with trio.CancelScope(shield=True):
                    await self._host.disconnect(peer_id)
        return ()

    async def _find_way(self, pair: Pair) -> tuple[str | None, bool]:
        """A connected peer that a card of the keeper names, or one dialled for this alone; and whether it was."""
        addresses = []
        for text in self._addresses_of(pair):
            try:
                addresses.append(parse_address(text))
            except MalformedAddress:
                continue
        for address in addresses:
            if self._host.find_peer(address.peer_id) is not None:
                return address.peer_id, False
        # Only what a stranger may send us to; the address book knows nearer ones if they are to be had.
        public = [each for each in addresses if each.scope is Scope.PUBLIC and not each.is_name]
        for address in public[:MAX_DIALS]:
            if self._host.free_places() <= PLACES_LEFT:
                break
            try:
                return await self._host.dial(address.text), True
            except DialFailed as exc:
                log.debug("keeper not reached %s", exc)
        return None, False

    # -- what the answer is worth

    def _judge(self, drawn: _Drawn, given: Sequence[ToldStatement]) -> Judgement:
        """On a thread."""
        challenge = drawn.challenge
        with self._store.snapshot() as snapshot:
            answers = [each for told in given if (each := self._find_answer(snapshot, challenge, told)) is not None]
            judgement = judge(
                challenge,
                drawn.body,
                answers,
                receipts=[each for each in snapshot.receipts_of(challenge.of) if each.account == challenge.keeper],
                is_on_branch=lambda head: _is_above(snapshot, challenge, head),
            )
        if judgement.outcome is not Outcome.NOTHING:
            self._store.proofs.note(
                challenge.of,
                challenge.keeper,
                challenge.entry,
                self._clock_ms(),
                judgement.outcome is Outcome.PROVEN,
                judgement.why,
            )
        return judgement

    def _find_answer(self, snapshot: Snapshot, challenge: Challenge, told: ToldStatement) -> Statement | None:
        """A statement of the keeper's own, by a key that may speak for it; None for anything else."""
        try:
            statement = verify_statement(parse_statement(told.block), self._network)
        except UnhushError:
            return None
        if statement.account != challenge.keeper:
            return None
        return statement if snapshot.may_speak(statement, told.ops) else None


def _held(snapshot: Snapshot, receipt: Receipt) -> dict[PublicKey, tuple[Cid, Ranges]]:
    """For each log that a receipt names: what is shown here at the number it names, and what is held."""
    held: dict[PublicKey, tuple[Cid, Ranges]] = {}
    summary = snapshot.summary(receipt.of)
    for head in receipt.heads:
        runs = summary.logs.get(head.key)
        at_head = snapshot.run(receipt.of, head.key, head.seq, head.seq, _ANY_SIZE)
        if runs is not None and at_head:
            held[head.key] = at_head[0].cid, Ranges.of(runs)
    return held


def _is_above(snapshot: Snapshot, challenge: Challenge, head: Head) -> bool:
    """Whether a head stands on the branch shown here, with nothing missing between it and the entry."""
    at_head = snapshot.run(challenge.of, head.key, head.seq, head.seq, _ANY_SIZE)
    if not at_head or at_head[0].cid != head.entry:
        return False
    runs = snapshot.summary(challenge.of).logs.get(head.key)
    return runs is not None and any(low <= challenge.seq and head.seq <= high for low, high in runs)


def _nothing(why: str) -> Answered:
    return Answered(Judgement(Outcome.NOTHING, why))


# Of one record; the store bounds its body.
_ANY_SIZE: Final = 1_048_576
