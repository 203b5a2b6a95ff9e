"""The door of gossip: how many hints are let in, and how they wait for ingest.

Rates are judged by ``gossip/proto/admission.py``. One thing passes the rate of
an account: a rotate to a new generation, by which its owner ends whatever
makes the account speak so fast. Who is let in waits in a queue that is fair
between the peers that handed hints on, so that a flood waits for itself.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from unhush.gossip.net.intake import Submit
from unhush.gossip.proto.admission import Admission
from unhush.gossip.proto.fairness import FairQueue
from unhush.gossip.proto.hints import Hint, Hinted
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.codec import decode_map
from unhush.identity.errors import IdentityError
from unhush.identity.operations import ROTATE, find_raw_generation
from unhush.storage.arrivals import Batch, Outcome
from unhush.storage.snapshot import Snapshot
from unhush.storage.store import Store

# Hints between the mesh and ingest: ten seconds of a peer's full rate, at some 2 KiB each 1 MiB.
MAX_WAITING: Final = 512
# Of which so many are with ingest at a time: enough for it to join them into one commit.
MAX_GIVEN: Final = 64

Done = Callable[[tuple[Outcome, ...]], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    done: Done


class HintDoor:
    """Lets hints in, and gives them to ingest by and by; on the network's loop."""

    def __init__(self, store: Store, submit: Submit, tally: Tally) -> None:
        self._store = store
        self._submit = submit
        self._tally = tally
        self._admission = Admission()
        self._queue: FairQueue[_Waiting] = FairQueue(MAX_WAITING - MAX_GIVEN)
        self._given = 0

    @property
    def waiting_count(self) -> int:
        """Hints let in, of which ingest has not said what became of them."""
        return len(self._queue) + self._given

    def takes_from(self, peer_id: str, records: int) -> bool:
        """Whether a peer may hand so many records on now; asked before anything costly is done with them."""
        if self._admission.takes_from(peer_id, max(1, records), trio.current_time()):
            return True
        self._tally.count(Met.GOSSIP_OVER_PEER_RATE)
        return False

    def takes(self, hint: Hint) -> bool:
        """Whether those whose records these are may say so much now; the signatures are checked by now."""
        counts = Counter(record.entry.account for record in hint.records)
        if self._admission.takes_of(counts, trio.current_time()):
            return True
        if hint.operations:
            with self._store.snapshot() as snapshot:
                if any(_is_turn(snapshot, operation) for operation in hint.operations):
                    return True
        self._tally.count(Met.GOSSIP_OVER_ACCOUNT_RATE)
        return False

    def give(self, peer_id: str, batch: Batch, done: Done) -> None:
        """Give a batch to ingest when it is this peer's turn; ``done`` as with ``Submit``, unless it has to go."""
        if self._queue.push(peer_id, _Waiting(batch, done)) is not None:
            self._tally.count(Met.GOSSIP_QUEUE_FULL)
        self._go_on()

    def _go_on(self) -> None:
        token = trio.lowlevel.current_trio_token()
        while self._given < MAX_GIVEN and self._queue:
            _, waiting = self._queue.pop()

            def done(outcomes: tuple[Outcome, ...], report: Done = waiting.done) -> None:
                """On the thread of ingest."""
                try:
                    report(outcomes)
                finally:
                    with contextlib.suppress(trio.RunFinishedError):  # the network has ended
                        token.run_sync_soon(self._came_back)

            self._given += 1
            if not self._submit(waiting.batch, is_live=True, done=done):
                self._given -= 1
                self._tally.count(Met.INGEST_FULL)

    def _came_back(self) -> None:
        self._given -= 1
        self._go_on()


def _is_turn(snapshot: Snapshot, operation: Hinted) -> bool:
    """Whether an operation is a rotate, by the account's own turn keys, to a generation beyond the one held."""
    header, body = operation.entry.header, operation.body
    if header.kind != ROTATE or body is None:
        return False
    account = snapshot.account(operation.entry.account)
    inception = snapshot.record(operation.entry.account)
    if account is None or inception is None or inception.body is None:
        return False
    try:
        after = decode_map(inception.body).get("next")
        fields = decode_map(body)
    except IdentityError:
        return False
    return isinstance(after, bytes) and find_raw_generation(fields, after, header.key) > account.state.generation
