"""How fast the store is, beside SQLite doing the same job in the same run; see docs/benchmarks.md."""

import argparse
import cProfile
import pstats
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from crowd import ACCOUNTS, MIXES, Crowd, load_crowd
from ingesting import Spent, ingest_ours
from reading import FOLLOWS, PAGE, Times, bench_reads, bench_rival_reads
from report import Bar, Chart, Report
from rivals import BareLmdb, RivalSpent, Sqlite, ingest_rival

RECORDS: Final = 100_000
MANY: Final = 1_000_000
ROUNDS: Final = 3
# What shall be reached; see the rows they stand in.
AIM_CHAINED: Final = 15_000
AIM_SEPARATE: Final = 8_000
AIM_WORKERS: Final = 12_000
AIM_DISK: Final = 1_200
AIM_HOME_MS: Final = 0.5
AIM_THREAD_MS: Final = 10
AIM_SEARCH_MS: Final = 50

OURS: Final = "ours"
WORKERS: Final = "ours, two verifying processes"
SQLITE: Final = "SQLite"
LOOP: Final = "bare LMDB loop"

Runs = dict[tuple[str, str], list[Any]]  # (order, who) → one Spent or RivalSpent of each round


def bench_store(*, is_long: bool = False, rounds: int = ROUNDS, only: str = "") -> Report:
    """Ingest and reads at 100 k records, with ``is_long`` at a million too."""
    report = Report(
        "store-1m" if is_long else "store",
        f"{ACCOUNTS:,} accounts, records of about 500 bytes (posts, replies, tags, mentions), batches of 1 MiB, each "
        "durable before the next. Rounds are interleaved, figures are their medians. Cores are shared: read ratios, "
        "and rates per CPU second beside those of the clock.",
    )
    if only in ("", "ingest"):
        add_ingest(report, is_long=is_long, rounds=rounds)
    if only in ("", "reads"):
        for records in (RECORDS, MANY) if is_long else (RECORDS,):
            add_reads(report, records)
    return report


def add_ingest(report: Report, *, is_long: bool, rounds: int) -> None:
    small = run_rounds(load_crowd(RECORDS), rounds, ("chained", "separate"))
    report.figures["ingest 100 k"] = {f"{order}, {who}": runs for (order, who), runs in small.items()}
    add_ingest_table(report, f"Ingest of {RECORDS:,} records", small)
    report.charts += [ingest_chart(f"{RECORDS:,} records, {order}: records/s", small, order) for order in AIMS]
    if is_long:
        many = run_rounds(load_crowd(MANY), 1, ("chained",))
        report.figures["ingest 1 M"] = {f"{order}, {who}": runs for (order, who), runs in many.items()}
        add_ingest_table(report, f"Ingest of {MANY:,} records", many, small)
        report.charts.append(ingest_chart(f"{MANY:,} records, chained: records/s", many, "chained"))


AIMS: Final = {"chained": AIM_CHAINED, "separate": AIM_SEPARATE}


def run_rounds(crowd: Crowd, rounds: int, orders: tuple[str, ...]) -> Runs:
    runs: Runs = {}
    for turn in range(rounds):
        for order in orders:
            ways: dict[str, Callable[[], Any]] = {
                OURS: partial(ingest_ours, crowd, order),
                SQLITE: partial(ingest_rival, Sqlite, crowd, order),
            }
            if order == "separate":
                ways[WORKERS] = partial(ingest_ours, crowd, order, 2)
            else:
                ways[LOOP] = partial(ingest_rival, BareLmdb, crowd, order)
            for who, work in ways.items():
                runs.setdefault((order, who), []).append(work())
                print(f"round {turn + 1}: {order}, {who}: {rate(runs[order, who][-1:]):,.0f}/s", file=sys.stderr)
    return runs


def add_ingest_table(report: Report, title: str, runs: Runs, smaller: Runs | None = None) -> None:
    rows = []
    for (order, who), found in runs.items():
        spent = [whole(each) for each in found]
        ratio = rate(runs[order, OURS]) / rate(found)
        cpu_ratio = cpu_rate(runs[order, OURS]) / cpu_rate(found)
        writing = [each.writing for each in found if isinstance(each, RivalSpent)]
        row = [
            f"{order}: {who}",
            f"{rate(found):,.0f}",
            f"{cpu_rate(found):,.0f}",
            f"{ratio:.2f}" if who not in (OURS, WORKERS) else "",
            f"{cpu_ratio:.2f}" if who not in (OURS, WORKERS) else "",
            f"{statistics.median(each.rate for each in writing):,.0f}" if writing else "",
            f"{statistics.median(each.disk_bytes / each.records for each in spent):,.0f}",
            f"{max(each.slowest_s for each in spent) * 1e3:,.0f}",
        ]
        if smaller is not None:
            row.append(f"{rate(found) / rate(smaller[order, who]):.0%}")
        rows.append(row)
    heads = [
        "",
        "records/s",
        "per CPU second",
        "ours ÷ this",
        "per CPU second",
        "look-ups and writing alone",
        "bytes/record",
        "slowest, ms",
    ]
    report.table(
        title,
        heads + ([f"of the rate at {RECORDS:,}"] if smaller is not None else []),
        rows,
        f"Aims: chained {AIM_CHAINED:,}/s, separately signed {AIM_SEPARATE:,}/s and {AIM_WORKERS:,}/s with two "
        f"verifying processes, three times SQLite, at most {AIM_DISK:,} bytes a record. SQLite (WAL, synchronous=FULL) "
        "and the loop judge records with the same functions as we do; see `benchmarks/rivals.py`.",
    )


def ingest_chart(title: str, runs: Runs, order: str) -> Chart:
    bars = [Bar(who, rate(found), who.startswith(OURS)) for (of, who), found in runs.items() if of == order]
    return Chart(title, bars, AIMS[order])


def whole(found: Spent | RivalSpent) -> Spent:
    return found.whole if isinstance(found, RivalSpent) else found


def rate(found: list[Any]) -> float:
    return float(statistics.median(whole(each).rate for each in found))


def cpu_rate(found: list[Any]) -> float:
    return float(statistics.median(whole(each).cpu_rate for each in found))


def add_reads(report: Report, records: int) -> None:
    ours, rival = bench_reads(records), bench_rival_reads(records)
    report.figures[f"reads {records}"] = {OURS: ours, SQLITE: rival}
    sqlite = rival["home"]
    rows = [
        row(f"newest {PAGE} of home, {n:,} follows", ours["home"][n]["stored"], AIM_HOME_MS, sqlite) for n in FOLLOWS
    ]
    rows += [row(f"the same, bodies parsed, {n:,} follows", ours["home"][n]["read"], "") for n in FOLLOWS]
    rows += [
        row(f"newest {PAGE}, first after an ingest", ours["first after ingest"], ""),
        row(f"newest {PAGE}, later", ours["later"], ""),
        row(f"thread of {ours['replies']:,} replies", ours["thread"]["stored"], AIM_THREAD_MS, rival["thread"]),
        row("the same, bodies parsed", ours["thread"]["read"], ""),
    ]
    found = ours["search"]
    for sort, each in found["sorts"].items():
        rows.append(row(f"search: {sort} ({each['hits']:.0f} hits)", each["times"], AIM_SEARCH_MS))
    rows.append(row("search, all of these, a batch not indexed yet", found["before it is indexed"], AIM_SEARCH_MS))
    first = f"{found['first after it is indexed']:.2f}"
    rows.append(["search, first after it is indexed", first, "", "", "", "", "", ""])
    indexed = found["feeding"].wall_s
    report.table(
        f"Reads from {records:,} records, milliseconds",
        ["", "p50", "p95", "p99", "CPU p50", "CPU p99", "aim", "SQLite p50 ÷ ours"],
        rows,
        f"Warm, one thread; {max(FOLLOWS):,} accounts. Full text took {indexed:,.1f} s to index (not part of ingest) "
        f"and {found['bytes'] / records:,.0f} bytes a record, beside the database. Aims: p99 of home, p50 of the "
        "thread, p95 of search.",
    )
    bars = [Bar(f"{n:,} follows", ours["home"][n]["stored"].p99, True) for n in FOLLOWS] + [Bar(SQLITE, sqlite.p99)]
    report.charts.append(Chart(f"newest {PAGE} of home among {records:,}: p99, ms", bars, AIM_HOME_MS))


def row(what: str, times: Times, aim: object, rival: Times | None = None) -> list[object]:
    ratio = f"{rival.p50 / times.p50:.2f}" if rival is not None else ""
    cpu = [f"{times.cpu_p50:.2f}", f"{times.cpu_p99:.2f}"] if times.cpu_p50 else ["", ""]
    return [what, *(f"{ms:.2f}" for ms in (times.p50, times.p95, times.p99)), *cpu, aim, ratio]


def profile(what: str, records: int, mix: str) -> None:
    """Where the time of an ingest goes, by own and by cumulated time."""
    crowd = load_crowd(records, mix)
    profiler = cProfile.Profile()
    plain = ingest_ours(crowd, what)
    print(f"{what}, not profiled: {plain.rate:,.0f} records/s wall, {plain.cpu_rate:,.0f} per CPU second")
    print(f"{plain.disk_bytes / plain.records:,.0f} bytes/record, slowest batch {plain.slowest_s * 1e3:,.0f} ms")
    ingest_ours(crowd, what, profiler=profiler)
    for order in ("tottime", "cumtime"):
        pstats.Stats(profiler).strip_dirs().sort_stats(order).print_stats(25)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="a million records too")
    parser.add_argument("--only", choices=("ingest", "reads"), default="")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", choices=("ingest", "chained", "separate"), help="cProfile instead of tables")
    parser.add_argument("--records", type=int, default=RECORDS, help="of a profile")
    parser.add_argument("--mix", choices=sorted(MIXES), default="posts", help="of a profile")
    options = parser.parse_args()
    if options.profile:
        profile("chained" if options.profile == "ingest" else options.profile, options.records, options.mix)
    else:
        report = bench_store(is_long=options.long, rounds=options.rounds, only=options.only)
        print(report.text() if options.only else report.write())
    return 0


if __name__ == "__main__":
    sys.exit(main())
