"""Asking: single records, conversations, and what concerns somebody, over an open session (PROTOCOL §5).

Whole logs of carried accounts come by ``want``. Beside them there are records of
people nobody here follows: the answer under a post, the post that is quoted, the
mention. They travel by question and answer,

    need, thread, concerning → given, given, … ←

and, so that nobody has to ask, by ``offer``: what concerns an account that the
peer carries is offered to it, by its author's node and by every node that comes
to hold it and carries that account too. An offer is a hint, the questions are
the truth.

Answers and offers cost credit as ``entries`` do, and become deliveries to
ingest, which holds every claim (whose record it is, that it answers, that it
concerns) against the bytes. What a peer was given, or gave, is remembered by id,
so that nothing returns to where it came from; that forgets, and then a record
travels twice.

A question that is not answered in time is given up, and so is one that waited in
vain to be asked: who asked goes elsewhere. One given up takes no place from
others; some are remembered, for the answer may still come.

Of the log this device writes nothing is given or offered before the peer has
shown what it holds of it (``ownlog``).
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

from unhush.gossip.errors import LocalProtocolError
from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Answered, AskForOurs, DeliverGiven, Noted, ReadAsked
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.events import Ask, AskedRead, Bundle, Concerns
from unhush.gossip.proto.faults import MalformedFrame, TooManyOffers, TooManyQuestions, UnaskedAnswer
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import (
    Concerning,
    Given,
    Item,
    Need,
    Offer,
    Operation,
    Question,
    ThreadFrame,
)
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.position import find_seqs
from unhush.gossip.proto.receiving import Receiving
from unhush.gossip.proto.sending import Sending
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid, cid_of

# More than what a record, and the frame around it, take beside entry and body.
_RECORD_OVERHEAD: Final = 32
_FRAME_OVERHEAD: Final = 256
# Questions of one side that are not answered: those it waits for, and those it gave up.
_MAX_OPEN: Final = limits.MAX_QUESTIONS + limits.MAX_LATE_QUESTIONS


@dataclass(slots=True)
class _Asked:
    """A question of ours."""

    tag: int
    question: Question
    due: float
    records: int = 0
    size_bytes: int = 0
    deliveries: set[int] = field(default_factory=set)
    is_answered: bool = False
    is_reported: bool = False


@dataclass(slots=True, eq=False)
class _Answer:
    """A question of the peer's, and how far it is answered."""

    question: Question
    cursor: bytes = b""
    bundles: deque[Bundle] = field(default_factory=deque)
    records: int = 0
    size_bytes: int = 0
    is_read_out: bool = False


class Asking:
    """What we ask the peer, what it asks us, and what either offers."""

    def __init__(self, config: SessionConfig, outbox: Outbox, receiving: Receiving, sending: Sending) -> None:
        self._config: Final = config
        self._outbox: Final = outbox
        self._receiving: Final = receiving
        self._deliveries: Final = receiving.deliveries
        self._serving: Final = sending.serving
        self._freight: Final = sending.freight
        self._own_log: Final = sending.own_log

        self._to_ask: deque[tuple[Ask, float]] = deque()  # and when each is given up
        self._asked: dict[int, _Asked] = {}
        self._of_delivery: dict[int, int] = {}
        self._last_n = 0
        self._ours_due = 0.0

        self._answers: deque[_Answer] = deque()
        self._last_peer_n = 0
        self._reading: _Answer | Concerns | None = None
        self._steps: Final = Allowance(limits.STEPS_ALLOWANCE, limits.STEPS_INTERVAL_S)
        self._now = 0.0

        self._unheard: dict[Cid, Concerns] = {}  # concern nobody whom the peer carries
        self._missed: dict[Cid, None] = {}  # accounts concerned by what was forgotten of those
        self._to_offer: dict[Cid, Concerns] = {}
        self._offering: deque[Concerns] = deque()
        self._at_peer: dict[Cid, None] = {}
        self._offers_taken: Final = Allowance(limits.OFFERS_AT_ONCE, limits.OFFERS_INTERVAL_S)
        self._patience: Final = Allowance(limits.OFFERS_PATIENCE, limits.OFFERS_INTERVAL_S)
        self._offers_sent: Final = Allowance(limits.OFFERS_SENT_AT_ONCE, limits.OFFERS_INTERVAL_S)

    @property
    def at_peer(self) -> Collection[Cid]:
        """Records that went to the peer by offer or answer, or came from it so, as far as remembered."""
        return self._at_peer.keys()

    # --- what we ask -------------------------------------------------------------------------------------

    def ask(self, event: Ask, now: float) -> None:
        """Ask, once what was asked before leaves room, or give up in time."""
        if len(self._to_ask) >= limits.MAX_WAITING_QUESTIONS or self._is_owed_most:
            self._refuse(event)
        else:
            self._to_ask.append((event, now + limits.QUESTION_S))

    def tick(self, now: float) -> None:
        """Give up what is not answered, or cannot be asked, in time, and see what is to be asked again."""
        for asked in self._asked.values():
            if now >= asked.due and not asked.is_reported:
                self._outbox.put(Noted(Met.QUESTION_UNANSWERED))
                self._report(asked, is_complete=False)
        while self._to_ask and (now >= self._to_ask[0][1] or self._is_owed_most):
            self._refuse(self._to_ask.popleft()[0])
        self._ask_for_ours(now)

    @property
    def _is_owed_most(self) -> bool:
        """Whether the peer left so many questions unanswered that it is asked no more until it answers some."""
        late = sum(asked.is_reported and not asked.is_answered for asked in self._asked.values())
        return late >= _MAX_OPEN

    def _refuse(self, event: Ask) -> None:
        self._outbox.put(Noted(Met.QUESTION_NOT_ASKED))
        self._outbox.put(Answered(event.tag, is_complete=False))

    @property
    def _may_ask(self) -> bool:
        """Whether one more fits among those that are waited for, and among all that the peer has to remember."""
        waited_for = sum(not asked.is_reported for asked in self._asked.values())
        return waited_for < limits.MAX_QUESTIONS and len(self._asked) < _MAX_OPEN

    def _ask_for_ours(self, now: float) -> None:
        own = self._config.own
        if own is not None and own.account in self._receiving.carried and now >= self._ours_due:
            self._ours_due = now + limits.CONCERNING_INTERVAL_S
            self._outbox.put(AskForOurs())

    def _flush_questions(self, now: float) -> None:
        while self._to_ask and self._may_ask and self._outbox.has_room:
            event, _ = self._to_ask[0]
            question = _numbered(event, self._last_n + 1)
            if not self._outbox.send_paced(question, now):
                return
            self._to_ask.popleft()
            self._last_n += 1
            self._asked[self._last_n] = _Asked(event.tag, question, now + limits.QUESTION_S)

    def peer_gives(self, frame: Given, size_bytes: int) -> None:
        """Take an answer, or a part of it; raises ``UnaskedAnswer``, ``CreditExceeded``."""
        cost = self._deliveries.charge(size_bytes)
        asked = self._asked.get(frame.n)
        if asked is None or asked.is_answered:
            raise UnaskedAnswer(f"an answer to question {frame.n}, which is not open")
        asked.records += len(frame.items)
        asked.size_bytes += size_bytes
        _check_answer(asked, frame)
        if frame.account is None:
            self._deliveries.refund(cost)
        else:
            self._deliver(frame.account, frame, cost, asked)
        if not frame.is_more:
            asked.is_answered = True
            self._report_if_done(frame.n, asked)

    def _deliver(self, account: Cid, frame: Given | Offer, cost: int, asked: _Asked | None) -> None:
        for item in (*frame.items, *filter(None, (frame.profile,))):
            self._note_at_peer(cid_of(item.entry))
        delivery_id = self._deliveries.accept(account, cost)
        if asked is not None and isinstance(frame, Given):
            asked.deliveries.add(delivery_id)
            self._of_delivery[delivery_id] = frame.n
        reason = frame.about if isinstance(frame, Offer) else asked.question if asked is not None else None
        assert reason is not None, "an answer without a question"
        self._outbox.put(DeliverGiven(delivery_id, account, frame.ops, frame.items, reason, frame.profile))

    def committed(self, delivery_id: int) -> None:
        """Ingest is done with a delivery."""
        n = self._of_delivery.pop(delivery_id, None)
        if n is not None:
            asked = self._asked[n]
            asked.deliveries.discard(delivery_id)
            self._report_if_done(n, asked)

    def _report_if_done(self, n: int, asked: _Asked) -> None:
        if asked.is_answered and not asked.deliveries:
            del self._asked[n]
            self._report(asked, is_complete=True)

    def _report(self, asked: _Asked, *, is_complete: bool) -> None:
        if not asked.is_reported:
            asked.is_reported = True
            self._outbox.put(Answered(asked.tag, is_complete=is_complete))

    # --- what the peer asks ------------------------------------------------------------------------------

    def peer_asks(self, question: Question) -> None:
        """Remember a question; raises ``TooManyQuestions``."""
        if question.n <= self._last_peer_n or len(self._answers) >= _MAX_OPEN:
            raise TooManyQuestions(f"question {question.n} after {self._last_peer_n}; {len(self._answers)} are open")
        self._last_peer_n = question.n
        # Who does not carry an account looks nothing up for it.
        is_idle = isinstance(question, Concerning) and not self._serving.carries(question.account)
        self._answers.append(_Answer(question, is_read_out=is_idle))

    def find_read(self) -> ReadAsked | None:
        """What to look up next: what is to be offered, or a step of an answer."""
        if self._freight.find_room() < limits.MIN_SENDING_CREDIT or not self._outbox.has_room:
            return None
        for offer in self._offering:
            if not self._own_log.holds_back(offer.account, offer.key):
                self._offering.remove(offer)
                self._reading = offer
                return ReadAsked(Need(0, offer.account, (offer.cid,)), b"", 1, limits.OFFER_BYTES)
        for answer in self._answers:
            if not answer.is_read_out and not answer.bundles:
                if not self._steps.spend(_step_cost(answer.question), self._now):
                    return None
                self._reading = answer
                most = _most_records(answer.question) - answer.records
                if not isinstance(answer.question, Concerning):  # which is found at once or not at all
                    most = min(most, limits.RECORDS_PER_STEP)
                return ReadAsked(answer.question, answer.cursor, most, limits.STEP_BYTES)
        return None

    def asked_read(self, event: AskedRead) -> None:
        """What was looked up: to be given, or to be offered."""
        reading, self._reading = self._reading, None
        match reading:
            case _Answer():
                self._note_read(reading, event)
            case Concerns():
                self._offer(reading, event.bundles)
            case _:
                raise LocalProtocolError("nothing of this was to be read")

    def _note_read(self, answer: _Answer, event: AskedRead) -> None:
        if isinstance(answer.question, Concerning) and not self._serving.carries(answer.question.account):
            event = AskedRead((), None)  # who does not carry an account is not asked about it
        is_full = False
        for bundle in event.bundles:
            items = self._take_fitting(answer, bundle)
            is_full |= len(items) < len(bundle.items)
            items = tuple(item for item in items if not self._holds_back(bundle.account, item))
            if items:
                answer.bundles.extend(_cut(replace(bundle, items=items)))
        answer.cursor = event.cursor or b""
        is_full |= answer.records >= _most_records(answer.question)
        answer.is_read_out = event.cursor is None or is_full

    def _take_fitting(self, answer: _Answer, bundle: Bundle) -> tuple[Item, ...]:
        """The records of a bundle that an answer still takes; they are counted as given."""
        size = answer.size_bytes + _FRAME_OVERHEAD + _size_beside(bundle)
        taken: list[Item] = []
        for item in bundle.items:
            size += _size_of(item)
            if size > limits.MAX_GIVEN_BYTES or answer.records >= _most_records(answer.question):
                break
            taken.append(item)
            answer.size_bytes = size
            answer.records += 1
        return tuple(taken)

    def _holds_back(self, account: Cid, item: Item) -> bool:
        own = self._config.own
        if own is None or own.account != account or find_seqs(own.key, [item.entry]) is None:
            return False
        return self._own_log.holds_back(account, own.key)

    def _flush_answers(self) -> None:
        for answer in list(self._answers):
            while (answer.bundles or answer.is_read_out) and self._outbox.has_room:
                bundle = answer.bundles[0] if answer.bundles else None
                is_last = answer.is_read_out and len(answer.bundles) <= 1
                if not self._give(answer.question.n, bundle, is_more=not is_last):
                    return
                if bundle is not None:
                    answer.bundles.popleft()
                if is_last:
                    self._answers.remove(answer)
                    break

    def _give(self, n: int, bundle: Bundle | None, *, is_more: bool) -> bool:
        """Send one frame of an answer, if credit allows."""
        if bundle is None:
            frame = Given(n)
        else:
            frame = Given(n, bundle.account, bundle.ops, bundle.items, is_more, bundle.profile)
        return self._send(frame)

    def _send(self, frame: Given | Offer) -> bool:
        payload = encode_frame(frame)
        if max(len(payload), limits.MIN_ENTRIES_COST) > self._freight.find_room():
            return False
        self._freight.send_charged(payload)
        records = (*frame.items, *filter(None, (frame.profile,)))
        for item in records:
            self._note_at_peer(cid_of(item.entry))
        own = self._config.own
        if own is not None and own.account == frame.account:
            for item in records:
                for seq in find_seqs(own.key, [item.entry]) or ():
                    self._freight.note_left(seq)
        return True

    # --- offers ------------------------------------------------------------------------------------------

    def concerns(self, event: Concerns) -> None:
        """A record here concerns others: offer it, if the peer carries one of them or comes to."""
        if event.cid in self._at_peer or self._serving.pushes(event.account):
            return
        if self._receiving.carried.isdisjoint(event.about):
            self._unheard[event.cid] = event
            self._serving.seek(event.about)
            if len(self._unheard) > limits.MAX_WAITING_OFFERS:
                self._forget(self._unheard.pop(next(iter(self._unheard))))
        elif event.cid not in self._to_offer:
            self._to_offer[event.cid] = event
            if len(self._to_offer) > limits.MAX_WAITING_OFFERS:
                del self._to_offer[next(iter(self._to_offer))]
                self._outbox.put(Noted(Met.OFFER_NOT_SENT))

    def _forget(self, event: Concerns) -> None:
        """Nothing is lost by it, unless the peer comes to carry somebody it concerns."""
        for account in event.about:
            self._missed.pop(account, None)
            self._missed[account] = None
        while len(self._missed) > limits.MAX_MISSED:
            del self._missed[next(iter(self._missed))]

    def peer_carries(self, now: float) -> None:
        """The peer carries other accounts than before: some of what waited may concern one of them."""
        carried = self._receiving.carried
        for account in [account for account in self._missed if account in carried]:
            del self._missed[account]
            self._outbox.put(Noted(Met.OFFER_FORGOTTEN))
        for event in [event for event in self._unheard.values() if not carried.isdisjoint(event.about)]:
            del self._unheard[event.cid]
            self.concerns(event)
        self._ask_for_ours(now)

    def peer_offers(self, frame: Offer, size_bytes: int, now: float) -> None:
        """Take an offer, or leave it; raises ``TooManyOffers``, ``MalformedFrame``, ``CreditExceeded``."""
        cost = self._deliveries.charge(size_bytes)
        if size_bytes > limits.OFFER_BYTES:
            raise MalformedFrame(f"offer: more than {limits.OFFER_BYTES} bytes")
        records = max(1, len(frame.items))  # an honest offer has one
        if not self._patience.spend(records, now):
            raise TooManyOffers(f"more than {limits.OFFERS_PATIENCE} offers in {limits.OFFERS_INTERVAL_S:.0f} s")
        if not self._offers_taken.spend(records, now):
            self._deliveries.refund(cost)
            self._outbox.put(Noted(Met.OFFER_IGNORED))
        elif not self._serving.carries(frame.about):
            self._deliveries.refund(cost)  # we may have carried it when it was sent
        else:
            self._deliver(frame.account, frame, cost, None)

    def _flush_offers(self, now: float) -> None:
        """Let go to the store what the pace allows."""
        while self._to_offer and len(self._offering) < limits.OFFERS_SENT_AT_ONCE:
            cid, event = next(iter(self._to_offer.items()))
            if cid not in self._at_peer and not self._offers_sent.spend(1, now):
                return
            del self._to_offer[cid]
            if cid not in self._at_peer:
                self._offering.append(event)

    def _offer(self, event: Concerns, bundles: tuple[Bundle, ...]) -> None:
        about = next((who for who in event.about if who in self._receiving.carried), None)
        if about is None or event.cid in self._at_peer or not bundles:
            return
        (bundle,) = bundles
        frame = Offer(about, bundle.account, bundle.ops, bundle.items, bundle.profile)
        if len(encode_frame(frame)) > limits.OFFER_BYTES:
            frame = replace(frame, profile=None)
        # What is larger still is asked for by who wants to read it.
        if len(encode_frame(frame)) <= limits.OFFER_BYTES and not self._send(frame):
            self._offering.appendleft(event)

    def _note_at_peer(self, cid: Cid) -> None:
        self._at_peer.pop(cid, None)
        self._at_peer[cid] = None
        if len(self._at_peer) > limits.MAX_KNOWN_AT_PEER:
            del self._at_peer[next(iter(self._at_peer))]

    # --- going on ----------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Send what is due and can go."""
        self._now = now
        if self._to_ask:
            self._flush_questions(now)
        if self._answers:
            self._flush_answers()
        if self._to_offer:
            self._flush_offers(now)


def _numbered(event: Ask, n: int) -> Question:
    match event.question:
        case Need(_, account, ids):
            return Need(n, account, ids)
        case ThreadFrame(_, root, account, held):
            return ThreadFrame(n, root, account, held)
        case Concerning(_, account, held):
            return Concerning(n, account, held)


def _most_records(question: Question) -> int:
    match question:
        case Need():
            return len(question.ids)
        case ThreadFrame():
            return limits.MAX_ANSWERS
        case Concerning():
            return limits.MAX_CONCERNING


def _step_cost(question: Question) -> int:
    """What looking up one step of an answer takes, by what it may cost."""
    match question:
        case Need():
            return 1
        case ThreadFrame():
            return 2
        case Concerning():
            return 6


def _check_answer(asked: _Asked, frame: Given) -> None:
    question = asked.question
    if asked.records > _most_records(question) or asked.size_bytes > limits.MAX_GIVEN_BYTES:
        raise UnaskedAnswer(f"more in answer to question {frame.n} than it may bring")
    if isinstance(question, Need):
        if frame.account not in (None, question.account):
            raise UnaskedAnswer(f"records of {frame.account} where some of {question.account} are needed")
        if any(cid_of(item.entry) not in question.ids for item in frame.items):
            raise UnaskedAnswer(f"a record that question {frame.n} does not name")


def _size_of(record: Item | Operation) -> int:
    return len(record.entry) + len(record.body or b"") + _RECORD_OVERHEAD


def _size_beside(bundle: Bundle) -> int:
    """What goes with the records of a bundle."""
    return sum(map(_size_of, bundle.ops)) + (_size_of(bundle.profile) if bundle.profile is not None else 0)


def _cut(bundle: Bundle) -> list[Bundle]:
    """A bundle in pieces that fit in one frame each, whatever window the peer has; who it is goes first."""
    room = limits.MIN_SENDING_CREDIT - _FRAME_OVERHEAD
    # The largest record fits beside the most operations in every window: see limits.
    left = room - _size_beside(bundle)
    pieces: list[tuple[Item, ...]] = [()]
    for item in bundle.items:
        size = _size_of(item)
        if pieces[-1] and (size > left or len(pieces[-1]) == limits.MAX_GIVEN_ITEMS):
            pieces.append(())
            left = room
        pieces[-1] += (item,)
        left -= size
    return [replace(bundle, items=pieces[0]), *(Bundle(bundle.account, (), piece) for piece in pieces[1:])]
