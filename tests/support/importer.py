"""A process that imports a CAR file into a new home and says how many records it stored, and what memory it took."""

import sys
from itertools import islice
from pathlib import Path

from tests.support.people import Clock, open_home

from unhush.storage.arrivals import Batch, Status
from unhush.storage.car import CarReader


def memory_bytes() -> int:
    """What this program holds of its own; pages of the database that are only mapped are the system's to take back."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    stored = 0
    with open_home(Path(sys.argv[2]), Clock()) as store, Path(sys.argv[1]).open("rb") as file:
        before = peak = memory_bytes()
        arrivals = CarReader(file, lambda _cid, _block: True).arrivals()
        while some := tuple(islice(arrivals, 500)):
            outcomes = store.ingest(Batch(some, "a file", wanted_only=False))
            stored += sum(outcome.status is Status.STORED for outcome in outcomes)
            peak = max(peak, memory_bytes())
        sys.stdout.write(f"{stored} {peak - before}\n")


if __name__ == "__main__":
    main()
