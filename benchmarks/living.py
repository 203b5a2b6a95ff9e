"""What one home costs: publishing, taking in another account, reading, checking; in one process."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unhush.identity.building import build_inception
from unhush.identity.keys import SigningKey
from unhush.identity.words import Words
from unhush.node import Config
from unhush.node.account.founding import publisher
from unhush.node.home.files import independent_cid_check
from unhush.storage.arrivals import Arrival, Batch
from unhush.storage.kinds import Follow, Post, Profile
from unhush.storage.publish import Publisher
from unhush.storage.store import Store
from unhush.storage.verify import verify_store

RECORDS = 10_000
STEP = 500
TEXT = "x" * 300  # makes a record of about 500 bytes


@contextmanager
def home(root: Path, name: str) -> Iterator[tuple[Store, Publisher]]:
    """A store with an account in it."""
    config = Config(home=root / name)
    with Store(config.home, network=config.network, clock_ms=config.clock_ms) as store:
        device = SigningKey(os.urandom(32))
        signer = publisher(config, device)
        inception = build_inception(
            Words(os.urandom(32)),
            device=device.public,
            name=name,
            time_ms=config.clock_ms(),
            salt=os.urandom(16),
            network=config.network,
        )
        store.found_account(signer, inception, Profile(name))
        yield store, signer


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bench_home() -> dict[str, Any]:
    """Publishing, taking in, reading and checking, in one process."""
    with (
        tempfile.TemporaryDirectory() as root,
        home(Path(root), "a") as (ours, sign),
        home(Path(root), "b") as (
            theirs,
            follow,
        ),
    ):
        durable = timed(lambda: [ours.publish(sign, Post(f"{number} {TEXT}")) for number in range(200)]) / 200
        bulk = timed(lambda: ours.publish(sign, *(Post(f"{number} {TEXT}") for number in range(RECORDS)))) / RECORDS
        with ours.snapshot() as snapshot:
            account = snapshot.own_account()
            assert account is not None
            items = [Arrival(record.block, record.body) for record in snapshot.journal(0)]
        theirs.publish(follow, Follow(account))
        batches = [Batch(tuple(items[at : at + STEP]), "bench") for at in range(0, len(items), STEP)]
        ingest = timed(lambda: [theirs.ingest(batch) for batch in batches]) / len(items)
        reads = statistics.median(timed(lambda: read_home(theirs)) for _ in range(200))
        with theirs.snapshot() as snapshot:
            check = independent_cid_check()
            verify = timed(lambda: verify_store(snapshot, network="main", check_cid=check)) / len(items)
    return {
        "posts, each its own durable commit, per second": round(1 / durable),
        "posts signed in one commit, per second": round(1 / bulk),
        "chained records taken in, durable and indexed, per second": round(1 / ingest),
        "records verified with an independent CID check, per second": round(1 / verify),
        "newest 50 of the home timeline, microseconds": round(reads * 1e6),
    }


def read_home(store: Store) -> None:
    with store.snapshot() as snapshot:
        for number, _ in enumerate(snapshot.home()):
            if number == 49:
                return
