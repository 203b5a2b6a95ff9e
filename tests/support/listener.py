"""A process that waits for news of a home: says ``ready``, then ``news AID`` for each time its journal grew."""

import sys
import time
from pathlib import Path

from tests.support.people import NETWORK

from unhush.storage.store import Store


def main() -> None:
    home, times = Path(sys.argv[1]), int(sys.argv[2])
    with Store(home, network=NETWORK, clock_ms=lambda: time.time_ns() // 1_000_000) as store:
        cursor = store.last_aid()
        store.wait_for_news(cursor, 0.0)  # its ear is open from here on
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in range(times):
            assert store.wait_for_news(cursor, 30.0)
            cursor = store.last_aid()
            sys.stdout.write(f"news {cursor}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
