"""What waits for ingest, and whose turn it is: live before bulk, though never for long, and senders in turn.

A sender is what ``Batch.source`` names. Within one sender's live deliveries, and within its bulk, the order stays;
its live ones may overtake its bulk, but never the other way round, also where the two are stored side by side: an
account's operations come as a small delivery, and what follows them would mean nothing before them. Nothing here
locks: the intake does.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unhush.storage.arrivals import Batch, Outcome

# LMDB costs 5 µs a record at 1 MiB per commit and 30 at 128 KiB; more would keep own posts waiting longer.
GROUP_BYTES: Final = 1_048_576
# While live records come, bulk goes in pieces that take some 10 ms, so that the next one does not wait for long.
BUSY_GROUP_BYTES: Final = 65_536
BUSY_S: Final = 2.0
# So many commits of live records may go before bulk that waits; then it has a turn. A live commit takes a tenth of
# the time that one of bulk does.
LIVE_TURNS: Final = 8
# A second bound on what waits here, for senders without credit (gossip): beyond it deliveries are turned away.
MAX_WAITING_BYTES: Final = 64 * 1_048_576
# Twice the credit of a session; a sender that has more waiting is turned away however much room there is.
MAX_SOURCE_BYTES: Final = 8 * 1_048_576
# Whoever has no more than this waiting is let in also when others have filled the room: 96 connections, each with a
# session and gossip, make another 96 MiB of it at the very most.
ASSURED_BYTES: Final = 524_288


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One batch and who waits to hear of it."""

    batch: Batch
    size_bytes: int
    done: Callable[[tuple[Outcome, ...]], None]

    @property
    def source(self) -> str:
        return self.batch.source


class Line:
    """Deliveries of many senders, who take turns."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[str, deque[Delivery]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_source)

    def push(self, delivery: Delivery) -> None:
        self._by_source.setdefault(delivery.source, deque()).append(delivery)

    def take(self, most_bytes: int, may_go: Callable[[Delivery], bool]) -> list[Delivery]:
        """The next one that may go, and what else fits one commit with it: one of each sender in turn."""
        taken: list[Delivery] = []
        size = 0
        held_up: set[str] = set()
        while len(held_up) < len(self._by_source):
            source, waiting = next(iter(self._by_source.items()))
            if source in held_up or not may_go(waiting[0]):
                held_up.add(source)
                self._by_source.move_to_end(source)
                continue
            if taken and (size + waiting[0].size_bytes > most_bytes or not _fit(taken[0], waiting[0])):
                break
            delivery = waiting.popleft()
            taken.append(delivery)
            size += delivery.size_bytes
            if waiting:
                self._by_source.move_to_end(source)
            else:
                del self._by_source[source]
        return taken


class Waiting:
    """All that waits for ingest; ``now`` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._live = Line()
        self._bulk = Line()
        self._bytes_of: dict[str, int] = {}
        self._numbers: dict[Delivery, int] = {}  # of those not ended yet, in the order they came
        self._live_of: dict[str, dict[Delivery, None]] = {}  # live ones not ended yet, oldest first
        self._last = 0
        self._live_turns = 0
        self._live_at = float("-inf")
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._live or self._bulk)

    def put(self, delivery: Delivery, *, is_live: bool, now: float) -> bool:
        """Queue a delivery; False if its sender has enough waiting, or there is no room for more."""
        held = self._bytes_of.get(delivery.source, 0) + delivery.size_bytes
        is_full = self.size_bytes + delivery.size_bytes > MAX_WAITING_BYTES
        if held > MAX_SOURCE_BYTES or (is_full and held > ASSURED_BYTES):
            return False
        self._bytes_of[delivery.source] = held
        self.size_bytes += delivery.size_bytes
        self._last += 1
        self._numbers[delivery] = self._last
        if is_live:
            self._live_at = now
            self._live_of.setdefault(delivery.source, {})[delivery] = None
        (self._live if is_live else self._bulk).push(delivery)
        return True

    def take(self, now: float) -> list[Delivery]:
        """What goes into the next commit, where one does it all; nothing if nothing waits."""
        if self._live and not (self._bulk and self._live_turns >= LIVE_TURNS):
            self._live_turns += 1
            return self.take_live()
        self._live_turns = 0
        # With live ones still there bulk of the same sender has to wait for them: then those go after all.
        return self.take_bulk(now) or self.take_live()

    def take_live(self) -> list[Delivery]:
        """What goes into the next commit of live records."""
        return self._taken(self._live.take(BUSY_GROUP_BYTES if self._bulk else GROUP_BYTES, lambda _: True))

    def take_bulk(self, now: float) -> list[Delivery]:
        """What goes into the next commit of bulk; nothing if all of it waits for live records."""
        is_busy = bool(self._live) or now - self._live_at < BUSY_S
        return self._taken(self._bulk.take(BUSY_GROUP_BYTES if is_busy else GROUP_BYTES, self._may_go))

    def ended(self, delivery: Delivery) -> None:
        """Its commit is done, or was given up."""
        del self._numbers[delivery]
        live = self._live_of.get(delivery.source)
        if live is not None:
            live.pop(delivery, None)
            if not live:
                del self._live_of[delivery.source]

    def _may_go(self, delivery: Delivery) -> bool:
        live = self._live_of.get(delivery.source)
        return not live or self._numbers[next(iter(live))] > self._numbers[delivery]

    def _taken(self, taken: list[Delivery]) -> list[Delivery]:
        for delivery in taken:
            self.size_bytes -= delivery.size_bytes
            left = self._bytes_of.pop(delivery.source, 0) - delivery.size_bytes
            if left > 0:
                self._bytes_of[delivery.source] = left
        return taken


def _fit(first: Delivery, other: Delivery) -> bool:
    return first.batch.wanted_only == other.batch.wanted_only
