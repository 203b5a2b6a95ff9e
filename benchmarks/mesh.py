"""How fast the mesh is: real nodes in processes of their own, on loopback; see docs/benchmarks.md."""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from crowd import ACCOUNTS, Crowd, load_crowd
from ingesting import folder
from meshing import (
    LOOK_S,
    BenchFailed,
    Filling,
    Memory,
    Process,
    Wire,
    every_second,
    fill_home,
    make_home,
    nodes,
    open_home,
    watch_fill,
    wire_at,
)
from report import Bar, Chart, Report, fdatasync_ms
from rivals_of_mesh import ENTRIES, Missing, measure_iroh, measure_ssb

from unhush.storage.errors import StorageError

RECORDS: Final = 100_000
ROUNDS: Final = 3
LONG_LOG: Final = 100_000  # posts of the account whose newest screen is waited for
SCREEN: Final = 50
LIVE_POSTS: Final = 500
LIVE_PAUSE_MS: Final = (8, 32)  # between two posts, so that each travels by itself
BUSY_POSTS: Final = 150
CHAIN: Final = 5
CHAIN_POSTS: Final = 200
IDLE_S: Final = 60.0
PEERS: Final = 8
SETTLE_S: Final = 2.0
REST_S: Final = 120.0

# What shall be reached; see the rows they stand in.
AIM_CHAINED: Final = 10_000
AIM_PROCESS: Final = 15_000
AIM_SEPARATE: Final = 6_000
AIM_WIRE: Final = 1.1
AIM_MEMORY_MB: Final = 250
AIM_SECOND_MS: Final = 50
AIM_SCREEN_MS: Final = 100
AIM_LIVE_MS: Final = (6, 20)
AIM_BUSY_MS: Final = 50
AIM_CHAIN_MS: Final = 30
AIM_IDLE: Final = 0.5


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# -- many records to an empty node


@dataclass
class Synced:
    """One node got everything from another."""

    records: int
    seconds: float
    first_s: float  # until the first records could be seen
    giver_cpu_s: float
    taker_cpu_s: float
    record_bytes: int
    wire: Wire | None
    giver: Memory
    taker: Memory

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def taker_cpu_rate(self) -> float:
        return self.records / max(self.taker_cpu_s, 1e-9)

    @property
    def wire_share(self) -> float | None:
        return self.wire.both / self.record_bytes if self.wire is not None else None


def sync_once(giver: Process, taker: Process, records: int, record_bytes: int) -> Synced:
    """Introduce a full node to an empty one and wait until that has everything."""
    memory = Memory(), Memory()

    def look() -> None:
        memory[0].peak(giver.memory())
        memory[1].peak(taker.memory())

    cpu = giver.cpu_s(), taker.cpu_s()
    began = time.monotonic()
    taker.tell("connect", address=giver.address)
    filling: Filling = watch_fill(taker.home, records, look=look)
    look()
    # The clock starts when the two have shaken hands: how soon an address is looked at is another matter.
    connected = taker.await_logged("connected peer=", began)
    return Synced(
        records=filling.records,
        seconds=filling.seen[-1][0] - connected,
        first_s=filling.began + filling.first_s - connected,
        giver_cpu_s=giver.cpu_s() - cpu[0],
        taker_cpu_s=taker.cpu_s() - cpu[1],
        record_bytes=record_bytes,
        wire=wire_at(giver),
        giver=memory[0],
        taker=memory[1],
    )


@dataclass
class Bulk:
    """A full home, from which empty ones are filled."""

    root: Path
    crowd: Crowd
    order: str
    profile: Path | None = None

    def __post_init__(self) -> None:
        self.full = self.root / f"full-{self.order}"
        self.follows = [each.account for each in self.crowd.authors]
        make_home(self.full, f"giver {self.order}", self.follows)
        batches = every_second(self.crowd) if self.order == "separate" else self.crowd.chained()
        self.stored = fill_home(self.full, self.crowd.authors, batches)
        self.record_bytes = int(self.crowd.bytes * self.stored / len(self.crowd))

    @contextmanager
    def pair(self, name: str, **config: Any) -> Iterator[tuple[Process, Process]]:
        """The full node and a new empty one, both running and not yet introduced."""
        empty = self.root / name
        make_home(empty, name, self.follows)
        with nodes(self.full, empty, profile=self.profile, **config) as (giver, taker):
            await_rest(giver)
            yield giver, taker
        shutil.rmtree(empty)

    def measure(self, turn: int, *, again: bool = False, **config: Any) -> "tuple[Synced, Again | None]":
        """Fill an empty node; with ``again`` let both meet anew once they are equal."""
        with self.pair(f"empty-{self.order}-{turn}", **config) as (giver, taker):
            found = sync_once(giver, taker, self.stored, self.record_bytes)
            return found, sync_again(giver, taker) if again else None


def await_rest(process: Process) -> None:
    """Until a node has done what it does after records came to its home: indexing words for search."""
    due = time.monotonic() + REST_S
    while time.monotonic() < due:
        before = process.cpu_s()
        time.sleep(1.0)
        if process.cpu_s() - before < 0.1:
            return


# -- two that hold the same


@dataclass
class Again:
    """Two equal nodes met: how long until both knew that nothing is missing, and what that took."""

    seconds: float
    wire: Wire | None


def sync_again(giver: Process, taker: Process) -> Again:
    """End the taker and start it again on the same home."""
    time.sleep(SETTLE_S)
    home = taker.home
    taker.end()
    time.sleep(SETTLE_S)
    began = time.monotonic()
    with nodes(home) as (again,):
        connected = max(again.await_logged("connected peer=", began), giver.await_logged("connected peer=", began))
        time.sleep(3.0)
        told = [at for each in (again, giver) for word in ("caught up", "compared") for at in each.logged(word, began)]
        if not told:
            raise BenchFailed("two equal nodes did not find that they are")
        # Before the ticks of an open session add to it.
        return Again(max(told) - connected, wire_at(giver))


# -- the first screen


def first_screen(root: Path, posts: int, turns: int = 5) -> list[float]:
    """Milliseconds from the handshake until the newest of a very long log are returned by ``timeline``."""
    crowd = load_crowd(posts, accounts=1)
    account = crowd.authors[0].account
    full = root / "long-log"
    make_home(full, "long log", [account])
    fill_home(full, crowd.authors, crowd.chained())
    spent = []
    with nodes(full) as (giver,):
        await_rest(giver)
        for turn in range(turns):
            empty = root / f"screen-{turn}"
            make_home(empty, empty.name, [account])
            with nodes(empty) as (taker,):
                time.sleep(SETTLE_S)
                began = time.monotonic()
                taker.tell("screen", account=str(account), wanted=SCREEN)
                taker.tell("connect", address=giver.address)
                seen = taker.await_said("screen")["at"]
                spent.append((seen - taker.await_logged("connected peer=", began)) * 1e3)
            shutil.rmtree(empty)
    return spent


# -- live


@dataclass
class Live:
    """How long posts took, in milliseconds."""

    posts: int
    arrived: int
    from_durable: list[float]  # durable there → returned by the timeline here
    from_call: list[float]  # post() called there → the same
    commit: list[float]  # post() itself

    @classmethod
    def of(cls, posted: dict[str, tuple[float, float]], seen: dict[str, float]) -> "Live":
        both = [(called, durable, seen[each]) for each, (called, durable) in posted.items() if each in seen]
        return cls(
            len(posted),
            len(both),
            sorted((at - durable) * 1e3 for _, durable, at in both),
            sorted((at - called) * 1e3 for called, _, at in both),
            sorted((durable - called) * 1e3 for called, durable in posted.values()),
        )


def share(times: list[float], part: float) -> float:
    return times[min(len(times) - 1, int(len(times) * part))] if times else float("nan")


def post_and_watch(writer: Process, reader: Process, posts: int, pause_ms: tuple[float, float], seed: int = 1) -> Live:
    reader.tell("watch")
    time.sleep(0.3)
    writer.posted.clear()
    writer.tell("post", count=posts, pause_ms=pause_ms, seed=seed)
    writer.await_said("posting")
    time.sleep(2.0)
    reader.tell("seen")
    return Live.of(dict(writer.posted), reader.await_said("seen")["seen"])


def await_account(process: Process, records: int) -> None:
    """Until a node holds so many records: what it follows has come."""
    due = time.monotonic() + 60
    with open_home(process.home) as store:
        while store.count_records() < records:
            if time.monotonic() > due:
                raise BenchFailed(f"{process.home.name} stands at {store.count_records()} of {records} records")
            time.sleep(LOOK_S)


@contextmanager
def chain(root: Path, length: int, profile: Path | None = None) -> Iterator[list[Process]]:
    """Nodes in a row, each connected to the next; all follow the first."""
    homes = [root / f"chain-{length}-{number}" for number in range(length)]
    account = make_home(homes[0], homes[0].name)
    for home in homes[1:]:
        make_home(home, home.name, [account])
    with nodes(*homes, profile=profile) as running:
        for one, next_one in pairwise(running):
            next_one.tell("connect", address=one.address)
        for process in running[1:]:
            await_account(process, 5)  # two of its own and a follow; the first one's inception and profile
        time.sleep(SETTLE_S)
        yield running


def live_through(root: Path, length: int, posts: int, profile: Path | None = None) -> Live:
    with chain(root, length, profile) as running:
        found = post_and_watch(running[0], running[-1], posts, LIVE_PAUSE_MS)
    for process in running:
        shutil.rmtree(process.home)
    return found


def idle_cpu(root: Path, seconds: float) -> list[float]:
    """Per cent of a core that each of two connected nodes takes while nothing happens."""
    with chain(root, 2) as running:
        time.sleep(SETTLE_S)
        before = [process.cpu_s() for process in running]
        time.sleep(seconds)
        return [(process.cpu_s() - at) / seconds * 100 for process, at in zip(running, before, strict=True)]


@dataclass
class Sessions:
    """What each further peer costs a node that they all follow."""

    peers: int
    memory_bytes: float  # a peer's, while nothing happens
    idle_cpu: float  # per cent of a core, a peer's
    post_cpu_ms: float  # of one post that goes to all of them, the author's own work included
    alone_cpu_ms: float  # of one post that goes to nobody


def cost_of_sessions(root: Path, peers: int, seconds: float, posts: int = 100) -> Sessions:
    """One node in the middle, first alone and then with many who follow it."""
    hub = root / "hub"
    account = make_home(hub, hub.name)
    homes = [root / f"spoke-{number}" for number in range(peers)]
    for home in homes:
        make_home(home, home.name, [account])

    def posting(process: Process) -> float:
        before = process.cpu_s()
        process.tell("post", count=posts, pause_ms=(10, 20), seed=3)
        process.await_said("posting")
        time.sleep(1.0)
        return (process.cpu_s() - before) * 1e3 / posts

    def idling(process: Process) -> float:
        before = process.cpu_s()
        time.sleep(seconds)
        return (process.cpu_s() - before) / seconds * 100

    with nodes(hub) as (centre,):
        time.sleep(SETTLE_S)
        alone, memory, idle = posting(centre), centre.memory().own, idling(centre)
        with nodes(*homes) as spokes:
            for spoke in spokes:
                spoke.tell("connect", address=centre.address)
            for spoke in spokes:
                await_account(spoke, posts + 5)
            time.sleep(SETTLE_S)
            each = (centre.memory().own - memory) / peers, (idling(centre) - idle) / peers
            found = Sessions(peers, *each, posting(centre), alone)
    for home in (hub, *homes):
        shutil.rmtree(home)
    return found


def live_while_busy(bulk: Bulk, writer_home: Path) -> tuple[Live, float]:
    """Posts of one node to another that is taking in everything of a third; the rate of that, and the delays."""
    account = make_home(writer_home, writer_home.name)
    busy = bulk.root / "busy"
    make_home(busy, busy.name, [*bulk.follows, account])
    with nodes(bulk.full, writer_home, busy) as (giver, writer, taker):
        taker.tell("connect", address=writer.address)
        await_account(taker, len(bulk.follows) + 4)
        time.sleep(SETTLE_S)
        taker.tell("watch")
        writer.posted.clear()
        taker.tell("connect", address=giver.address)
        began = time.monotonic()
        writer.tell("post", count=BUSY_POSTS, pause_ms=(20, 60), seed=2)
        filling = watch_fill(busy, bulk.stored + BUSY_POSTS)
        ended = filling.seen[-1][0]
        writer.await_said("posting")
        time.sleep(2.0)
        taker.tell("seen")
        seen = taker.await_said("seen")["seen"]
        started = taker.await_logged("connected peer=", began)
        during = {each: at for each, at in writer.posted.items() if started + filling.first_s <= at[1] <= ended}
    shutil.rmtree(busy)
    shutil.rmtree(writer_home)
    return Live.of(during, seen), filling.rate


# -- the report


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


class Bench:
    """Everything that is measured, one part after the other; a part that fails says so in the report."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        self.root = root
        self.options = options
        self.report = Report(
            "mesh",
            f"Real nodes in processes of their own, on loopback; {ACCOUNTS:,} accounts, records of about 500 bytes. "
            "Clock times start when two nodes have shaken hands and end when the records can be read: verified, "
            "durable, indexed. All processes of a row share the cores: read ratios, and CPU seconds beside the clock.",
        )
        self.rows: list[list[object]] = []
        self.bulks: dict[str, Bulk] = {}
        self.bars: list[Bar] = []

    def run(self) -> Report:
        parts: dict[str, Callable[[], None]] = {
            "chained": lambda: self.add_bulk("chained"),
            "process": self.add_process,
            "separate": lambda: self.add_bulk("separate"),
            "screen": self.add_screen,
            "live": self.add_live,
            "busy": self.add_busy,
            "chain": self.add_chain,
            "idle": self.add_idle,
            "sessions": self.add_sessions,
            "rivals": self.add_rivals,
        }
        chosen = self.options.only.split(",") if self.options.only else list(parts)
        for name in chosen:
            progress(f"{name} …")
            try:
                parts[name]()
            except (BenchFailed, OSError, StorageError) as exc:
                progress(f"{name}: not measured: {exc}")
                self.add(name, "not measured", "", str(exc))
        self.report.table("What was measured", ["", "measured", "aim", ""], self.rows)
        return self.report

    def add(self, what: str, found: object, aim: object = "", note: str = "") -> None:
        progress(f"  {what}: {found}{f' (aim {aim})' if aim != '' else ''}{f'; {note}' if note else ''}")
        self.rows.append([what, found, aim, note])

    def bulk(self, order: str) -> Bulk:
        if order not in self.bulks:
            progress(f"  filling a node, {order}")
            self.bulks[order] = Bulk(self.root, load_crowd(self.options.records), order, self.options.profile)
        return self.bulks[order]

    def add_bulk(self, order: str) -> None:
        bulk = self.bulk(order)
        found: list[Synced] = []
        agains: list[Again] = []
        # Few of a log come at once, so a round takes four times as long.
        for turn in range(self.options.rounds if order == "chained" else 1):
            synced, again = bulk.measure(turn, again=order == "chained")
            found.append(synced)
            agains += [again] if again is not None else []
            progress(
                f"  {order}, round {turn + 1}: {synced.rate:,.0f}/s; CPU {synced.giver_cpu_s:.1f} s there, "
                f"{synced.taker_cpu_s:.1f} s here"
            )
        self.report.figures[order] = found
        rate = median([each.rate for each in found])
        cpu = median([each.taker_cpu_rate for each in found])
        there = median([each.giver_cpu_s for each in found]) * 1e6 / bulk.stored
        note = f"{cpu:,.0f} per CPU second of the taker, {there:.0f} µs of the giver's a record"
        self.add(f"{bulk.stored:,} records to an empty node, {order}, records/s", f"{rate:,.0f}", AIMS[order], note)
        self.report.charts.append(Chart(f"{order}: records/s", [Bar("ours", rate, True)], AIMS[order]))
        self.bars.append(Bar(f"ours, {order}", rate, True))
        if order != "chained":
            return
        shares = [each.wire_share for each in found if each.wire_share is not None]
        self.add("bytes on the wire ÷ bytes of records", f"{median(shares):.2f}" if shares else "no ss here", AIM_WIRE)
        for name, of in (("giver", [each.giver for each in found]), ("taker", [each.taker for each in found])):
            own, whole = max(each.own for each in of), max(each.whole for each in of)
            self.add(
                f"memory of the {name}, MB", f"{own / 1e6:.0f}", "", f"{whole / 1e6:.0f} with the database's pages"
            )
        both = max(each.giver.own + each.taker.own for each in found)
        self.add("memory of both, MB", f"{both / 1e6:.0f}", AIM_MEMORY_MB)
        self.report.figures["again"] = agains
        self.add(
            "second sync of equal nodes, ms", f"{median([each.seconds for each in agains]) * 1e3:.0f}", AIM_SECOND_MS
        )
        wires = [each.wire.both for each in agains if each.wire is not None]
        most = 4_000 + 50 * len(bulk.follows)
        self.add("second sync of equal nodes, bytes", f"{median(wires):,.0f}" if wires else "no ss here", f"{most:,}")

    def add_process(self) -> None:
        """The same with the ingest process, and separately signed with it."""
        for order, aim in (("chained", AIM_PROCESS), ("separate", AIM_SEPARATE)):
            bulk = self.bulk(order)
            rounds = min(2, self.options.rounds) if order == "chained" else 1
            found = [bulk.measure(turn, ingest_process=True)[0] for turn in range(rounds)]
            self.report.figures[f"{order}, process"] = found
            rate = median([each.rate for each in found])
            cpu = median([each.taker_cpu_rate for each in found])
            self.add(f"{order}, with the ingest process, records/s", f"{rate:,.0f}", aim, f"{cpu:,.0f} per CPU second")

    def add_screen(self) -> None:
        posts = LONG_LOG if self.options.records >= RECORDS else self.options.records
        spent = first_screen(self.root, posts)
        self.report.figures["screen"] = spent
        note = f"worst of {len(spent)}: {max(spent):.0f}"
        self.add(f"first {SCREEN} of {posts:,} posts of an account, ms", f"{median(spent):.0f}", AIM_SCREEN_MS, note)

    def _add_times(self, what: str, live: Live, aims: tuple[object, object]) -> None:
        self.report.figures[what] = live
        lost = f"; {live.posts - live.arrived} of {live.posts} did not arrive" if live.arrived < live.posts else ""
        calls = f"from the call {share(live.from_call, 0.5):.1f} and {share(live.from_call, 0.99):.1f}{lost}"
        self.add(f"{what}, p50, ms", f"{share(live.from_durable, 0.5):.1f}", aims[0], calls)
        self.add(f"{what}, p99, ms", f"{share(live.from_durable, 0.99):.1f}", aims[1])

    def add_live(self) -> None:
        before = fdatasync_ms()
        live = live_through(self.root, 2, LIVE_POSTS, self.options.profile)
        self._add_times(
            f"live, two nodes, {LIVE_POSTS} posts: durable there to returned by timeline here", live, AIM_LIVE_MS
        )
        self.add("one fdatasync here, ms", f"{median([before, fdatasync_ms()]):.2f}")
        self.add("one post, signed and durable, ms", f"{share(live.commit, 0.5):.1f}")

    def add_busy(self) -> None:
        live, rate = live_while_busy(self.bulk("chained"), self.root / "writer")
        self._add_times(f"live during a bulk sync at {rate:,.0f} records/s", live, (AIM_BUSY_MS, ""))

    def add_chain(self) -> None:
        live = live_through(self.root, CHAIN, CHAIN_POSTS)
        self._add_times(f"live through a chain of {CHAIN} nodes", live, (AIM_CHAIN_MS, ""))

    def add_idle(self) -> None:
        found = idle_cpu(self.root, self.options.idle)
        self.report.figures["idle"] = found
        self.add(f"CPU of an idle node over {self.options.idle:.0f} s, %", f"{max(found):.2f}", AIM_IDLE)

    def add_rivals(self) -> None:
        """The same work by others, one after the other; who cannot be had is named with the reason."""
        entries = min(ENTRIES, self.options.records)
        bars = list(self.bars)
        for name, measure in (("SSB (ssb-db2, ssb-ebt)", measure_ssb), ("iroh docs", measure_iroh)):
            try:
                rival = measure(self.root, entries)
            except Missing as exc:
                self.add(name, "not measured", "", str(exc))
                continue
            self.report.figures[name] = rival
            ours = self.report.figures.get("chained")
            share = f"ours ÷ this: {median([each.rate for each in ours]) / rival.rate:.1f}" if ours else ""
            self.add(
                f"{rival.name}, {rival.entries:,} entries of 500 bytes, entries/s", f"{rival.rate:,.0f}", "", share
            )
            note = f"{len(rival.live_ms)} entries, shown before they are on disk"
            self.add(f"{rival.name}, live, p50, ms", f"{rival.live_p50_ms:.1f}", "", note)
            bars.append(Bar(rival.name, rival.rate))
        self.report.charts.append(Chart("the same work in this run: records/s", bars, AIM_CHAINED))

    def add_sessions(self) -> None:
        found = cost_of_sessions(self.root, PEERS, self.options.idle / 3)
        self.report.figures["sessions"] = found
        self.add("one more peer: memory, kB", f"{found.memory_bytes / 1e3:.0f}")
        self.add("one more peer: CPU while nothing happens, %", f"{found.idle_cpu:.3f}")
        each = (found.post_cpu_ms - found.alone_cpu_ms) / found.peers
        self.add(
            "one post to one more peer, CPU ms", f"{each:.2f}", "", f"{found.alone_cpu_ms:.2f} to sign and store it"
        )


AIMS: Final = {"chained": AIM_CHAINED, "separate": AIM_SEPARATE}


def bench_mesh(options: argparse.Namespace) -> Report:
    with folder() as root:
        return Bench(root, options).run()


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--idle", type=float, default=IDLE_S, metavar="SECONDS")
    parser.add_argument(
        "--only",
        default="",
        help="parts, by comma: chained,process,separate,screen,live,busy,chain,idle,sessions,rivals",
    )
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="each node writes there where its time went")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse_options()
    report = bench_mesh(options)
    is_whole = not options.only and options.records == RECORDS
    print(report.write() if is_whole else report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
