"""Speaking: what a running node signs by itself, on one thread, beside the network's loop.

- ``heads`` of the own account, soon after something was written.
- ``card``: where this node is reached, when that changed.
- ``receipt`` for each account it promised to keep, when what is held grew; an
  empty one ends what a promise that was dropped said.
- an answer to each challenge: a possession of what is on the disk, hashed as it
  is read, or an absent with its reason.

Nothing is ever said that a later look at the same disk would deny: before this
node says under a receipt that it lacks what its newest one covers, it looks at
everything again and signs another (decision 41). Where there is no time for
that, or the entry was never here, what it says names no receipt.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from unhush.gossip.proto.contradictions import DELETED
from unhush.gossip.proto.pacing import Allowance
from unhush.gossip.proto.statements import Prove, ToldStatement
from unhush.identity.cid import Cid, cid_of
from unhush.identity.errors import IdentityError, MalformedStatement
from unhush.identity.statement import (
    NO_SUBJECT,
    NOT_HERE,
    Absent,
    Card,
    Heads,
    Possession,
    Receipt,
    Statement,
    digest_possession,
)
from unhush.node.account.secrets import Keys
from unhush.node.addresses import best_addresses
from unhush.node.config import Config
from unhush.node.errors import KeyFileError
from unhush.node.keeping.receipting import SHARE, Receipting, ReceiptNotKept
from unhush.node.keeping.voice import Speaker, Voice
from unhush.storage.errors import StorageError
from unhush.storage.keeping.promises import Promise
from unhush.storage.records import Record
from unhush.storage.store import Store

log = logging.getLogger(__name__)

DAY_MS: Final = 24 * 60 * 60 * 1000
# A month is the most a statement lasts; whoever is away for a fortnight is still spoken for.
RENEW_MS: Final = 10 * DAY_MS
# Nobody but the asker needs the answer to a challenge; an absent is evidence for as long as its receipt.
POSSESSION_MS: Final = DAY_MS

# Commits close together are looked at as one.
REST_S: Final = 0.2
# A post is known within a second; in a burst of them heads are said three times, and then once in ten seconds.
HEADS: Final = 3
HEADS_INTERVAL_S: Final = 30.0
# Between two steps of looking for what was said in earlier runs, which may be among very many statements.
SCAN_PAUSE_S: Final = 0.02
# Where we listen has no event; and a passphrase may become known without any news.
ADDRESSES_EVERY_S: Final = 10.0
# A place at a relay and a word from outside come within the first minute; from then on one in ten minutes.
CARDS: Final = 3
CARDS_INTERVAL_S: Final = 1_800.0
# Challenges that wait for an answer: with a body of 64 KiB at most read for each, one after the other.
MAX_WAITING: Final = 16

Done = Callable[[Sequence[ToldStatement]], None]


class Ears(Protocol):
    """The network, as whoever speaks needs it; callable from any thread."""

    def listen(self) -> tuple[str, ...]:
        """Where this node can be dialled, with its peer id."""
        ...

    def said(self, items: Sequence[ToldStatement], /) -> None:
        """This node said something, which is in the store."""
        ...

    def promised(self) -> None:
        """Which accounts are kept here has changed."""
        ...


class Speaking:
    """Made before the network runs; ``start`` with it, ``stop`` before it ends."""

    def __init__(self, store: Store, config: Config, keys: Keys) -> None:
        self._store = store
        self._config = config
        self._voice = Voice(store, config, keys)
        self._ears: Ears | None = None
        self._waiting: deque[tuple[Prove, Done]] = deque()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._said: list[ToldStatement] = []  # and not told yet
        self._promises: dict[Cid, Promise] = {}
        self._promises_at = 0.0  # when they may be read again
        self._receipting = Receipting(store, self._voice, config.clock_ms, self._say)
        self._problem = ""
        self._seen_aid = -1
        self._heads = Allowance(HEADS, HEADS_INTERVAL_S)
        self._heads_due: float | None = None
        self._look_at = 0.0  # when to look again, without news
        self._card_for: tuple[tuple[str, ...], tuple[str, ...]] | None = None  # what the last card should have named
        self._cards = Allowance(CARDS, CARDS_INTERVAL_S)
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="unhush-speaking", daemon=True)

    @property
    def problem(self) -> str:
        """Why this node signs nothing now, or nothing that is heard; empty if it does. Callable from any thread."""
        return self._problem or self._receipting.problem

    def start(self, ears: Ears) -> None:
        """Begin to speak."""
        self._ears = ears
        self._unsubscribe = self._store.subscribe(self._woken.set)
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is finished."""
        self._unsubscribe()
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def prove(self, question: Prove, done: Done) -> bool:
        """Answer a challenge later, by ``done`` on this thread; False if too many wait. Callable from any thread."""
        with self._lock:
            if self._ears is None or self._stopping.is_set() or len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append((question, done))
        self._woken.set()
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self._answer_all()
                self._look()
            except (StorageError, IdentityError, KeyFileError) as exc:
                log.warning("nothing is said now: %s", exc)
                self._look_at = time.monotonic() + ADDRESSES_EVERY_S
            except Exception:  # a bug of ours; the node goes on, and says what it can
                log.exception("speaking failed")
                self._look_at = time.monotonic() + ADDRESSES_EVERY_S
            if not self._woken.wait(max(0.0, self._look_at - time.monotonic())):
                continue
            # Not at the very moment of a commit, when whoever sends it on needs the interpreter. Who waits for an
            # answer is not kept waiting.
            if not self._waiting:
                self._stopping.wait(REST_S)

    # -- looking

    def _look(self) -> None:
        now = time.monotonic()
        self._look_at = now + ADDRESSES_EVERY_S
        self._read_promises(now)
        speaker, self._problem = self._voice.find_speaker()
        if speaker is None:
            return
        if self._voice.scan():
            self._look_soon(now + SCAN_PAUSE_S)  # until it is known what was said before, nothing is said
            return
        self._say_card(now)
        self._say_heads(speaker, now)
        self._tell()
        self._look_soon(self._receipting.look(self._promises, speaker.account, now, lambda: bool(self._waiting)))
        self._tell()

    def _read_promises(self, now: float) -> None:
        """Whoever promises something carries more than before: the network is to know, whether this node speaks or not.

        Of very many promises that takes a while, so it is done in a share of the time.
        """
        if now < self._promises_at:
            self._look_soon(self._promises_at)
            return
        promises = self._store.promises.all()
        self._promises_at = now + (time.monotonic() - now) / SHARE
        is_new = promises != self._promises  # also a larger budget: what there was no room for may come now
        self._promises = promises
        if is_new and self._ears is not None:
            self._ears.promised()

    def _tell(self) -> None:
        said, self._said = self._said, []
        if said and self._ears is not None:
            self._ears.said(said)

    def _look_soon(self, when: float) -> None:
        self._look_at = min(self._look_at, when)

    def _say(self, claim: Heads | Card | Receipt) -> Statement | None:
        made = self._voice.say(claim)
        if made is None:
            return None
        statement, told = made
        self._said.append(told)
        log.info("said type=%s account=%s", claim.type, statement.account)
        return statement

    # -- heads

    def _say_heads(self, speaker: Speaker, now: float) -> None:
        last = self._voice.last(Heads.type, NO_SUBJECT)
        is_old = last is None or self._config.clock_ms() >= last.time + RENEW_MS
        with self._store.snapshot() as snapshot:
            aid = snapshot.last_aid()
            if aid == self._seen_aid and not is_old and self._heads_due is None:
                return
            self._seen_aid = aid
            claim = Heads(snapshot.heads_held(speaker.account), snapshot.identity_digest(speaker.account))
        if last is not None and last.claim == claim and not is_old:
            self._heads_due = None
            return
        if not self._heads.spend(1, now):
            self._heads_due = now + HEADS_INTERVAL_S / HEADS
            self._look_soon(self._heads_due)
            return
        self._heads_due = None
        self._say(claim)

    # -- the card

    def _say_card(self, now: float) -> None:
        assert self._ears is not None
        last = self._voice.last(Card.type, NO_SUBJECT)
        peers = best_addresses((), self._ears.listen())
        with self._store.snapshot() as snapshot:
            urls = snapshot.card_urls()
        said = last.claim if last is not None and isinstance(last.claim, Card) else Card((), ())
        if not peers and urls != said.urls:
            peers = said.peers  # where it is reached is not known now, as at the start: what was said stays
        elif not peers:
            return
        wanted = (peers, urls)
        is_same = last is not None and wanted in ((said.peers, said.urls), self._card_for)
        if is_same and last is not None and self._config.clock_ms() < last.time + RENEW_MS:
            return
        if not self._cards.spend(1, now):
            return
        while True:
            try:
                self._say(Card(peers, urls))
                self._card_for = wanted
                return
            except MalformedStatement:  # too long for a card
                if not peers:
                    raise
                peers = peers[:-1]

    # -- challenges

    def _answer_all(self) -> None:
        while self._waiting and not self._stopping.is_set():
            with self._lock:
                question, done = self._waiting.popleft()
            items: list[ToldStatement] = []
            try:
                items = self._answer(question)
            except (StorageError, IdentityError, KeyFileError) as exc:
                log.warning("a challenge is not answered: %s", exc)
            finally:
                done(items)

    def _answer(self, question: Prove) -> list[ToldStatement]:
        """A possession or an absent; nothing about what was never promised, but for what is withheld of it."""
        speaker, self._problem = self._voice.find_speaker()
        is_promised = self._store.promises.find(question.of) is not None
        if speaker is None or not (is_promised or self._store.withheld.find(question.entry) is not None):
            return []
        while self._voice.scan():
            pass
        with self._store.snapshot() as snapshot:
            held = snapshot.record(question.entry)
            if held is not None and held.account != question.of:
                return []  # nobody promised that
            if not is_promised and (held is None or question.of not in snapshot.carried()):
                return []  # who asks anybody about anything learns nothing
            record = snapshot.withheld(held) if held is not None else None
            is_deleted = held is not None and snapshot.is_deleted(held)
        withheld = self._store.withheld.find(question.entry)
        if withheld is not None:
            return self._refuse(question, record, withheld.reason)
        if not is_promised:
            return []  # it may come again since a moment ago
        if record is None:
            return self._refuse(question, None, NOT_HERE)
        if record.body is not None and cid_of(record.body) == record.entry.header.body:
            digest = digest_possession(question.nonce, speaker.account, speaker.key.public, record.body)
            claim = Possession(question.of, question.entry, question.nonce, digest)
            made = self._voice.say(claim, term_ms=POSSESSION_MS)
            return [made[1]] if made is not None else []
        return self._refuse(question, record, DELETED if is_deleted else NOT_HERE)

    def _refuse(self, question: Prove, record: Record | None, reason: str) -> list[ToldStatement]:
        """Say that it is not here, under a receipt that does not say that it is (decision 41).

        A receipt covers what an author took back, whose body nobody has to have: such an absent names none. Nor does
        one for an entry that is not here at all, which anybody can make up, and one while it is not the time yet to
        look at everything again: what names no receipt contradicts none.
        """
        if reason == DELETED:
            return self._say_absent_alone(question, reason)
        last = self._voice.last(Receipt.type, question.of.digest)
        if record is None:
            with self._store.snapshot() as snapshot:
                was_here = snapshot.has_known(question.entry)
            if was_here or (last is not None and _names(last, question.entry)):
                self._receipting.look_anew(question.of, time.monotonic())
            return self._say_absent_alone(question, reason)
        if last is not None and not _allows(last, question.entry, record):
            if not self._receipting.may_look_anew(question.of, time.monotonic()):
                return self._say_absent_alone(question, reason)
            try:
                last = self._receipting.give(question.of, is_anew=True)
            except ReceiptNotKept:
                return self._say_absent_alone(question, reason)
            if last is None or not _allows(last, question.entry, record):
                if record.body is not None:
                    # Its bytes are others, which the receipt has not seen yet: it will, within a day.
                    log.error("a body on this disk is not what it was of=%s entry=%s", question.of, question.entry)
                    return []
                # What a receipt covers without a body and does not list was taken back; or it can list no more.
                return self._say_absent_alone(question, DELETED if reason == NOT_HERE else reason)
        claim = Absent(question.of, question.entry, reason, last.digest if last is not None else None)
        made = self._voice.say(claim)
        self._tell()
        if made is None:
            return []
        return [*([self._voice.told(last)] if last is not None else []), made[1]]

    def _say_absent_alone(self, question: Prove, reason: str) -> list[ToldStatement]:
        """Under no receipt."""
        made = self._voice.say(Absent(question.of, question.entry, reason))
        return [made[1]] if made is not None else []


def _names(receipt: Statement, entry: Cid) -> bool:
    """Whether a receipt names an entry as the head of a log."""
    return isinstance(receipt.claim, Receipt) and any(head.entry == entry for head in receipt.claim.heads)


def _allows(receipt: Statement, entry: Cid, record: Record) -> bool:
    """Whether a receipt leaves room for the body of an entry to be absent."""
    claim = receipt.claim
    assert isinstance(claim, Receipt)
    if not claim.heads or any(withheld.entry == entry for withheld in claim.withheld):
        return True
    header = record.entry.header
    return all(head.key != header.key or head.seq < header.seq for head in claim.heads)
