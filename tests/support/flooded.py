"""A process with a running node that posts now and then, and says at the end how long that took and how large it got.

    python -m tests.support.flooded HOME

It prints a JSON line with its address, waits for a line, posts until the next comes, and prints its figures.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Final

from tests.support.commands import ANY_PORT
from tests.support.flooder import people
from tests.support.people import NETWORK

from unhush.node import Config, Node, found_account

PAUSE_S: Final = 0.02


def peak_rss_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(home: Path) -> None:
    config = Config(home, network=NETWORK, listen=(ANY_PORT,))
    found_account(config, "Ann")
    with Node.open(config) as node:
        for person in people():
            node.follow(person.account)
        node.start_network()
        time.sleep(0.5)
        ended = threading.Event()
        print(json.dumps({"address": node.status().listen[0]}), flush=True)

        def wait() -> None:
            sys.stdin.readline()
            ended.set()

        sys.stdin.readline()
        threading.Thread(target=wait, daemon=True).start()
        took = []
        while not ended.is_set():
            began = time.monotonic()
            node.post(f"post {len(took)}")
            took.append(time.monotonic() - began)
            time.sleep(PAUSE_S)
        took.sort()
        status = node.status()
        print(
            json.dumps(
                {
                    "posts": len(took),
                    "p50_ms": 1_000 * took[len(took) // 2],
                    "p90_ms": 1_000 * took[int(len(took) * 0.90)],
                    "p99_ms": 1_000 * took[int(len(took) * 0.99)],
                    "peak_rss_mib": peak_rss_bytes() / 2**20,
                    "records": status.records,
                    "peers": status.peers_connected,
                    "met": {met.name: met.count for met in status.limits_met},
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
