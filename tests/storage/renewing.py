"""Giving a home a new device key, also in a process that dies on the way: ``HOME AT``."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.people import NETWORK, Clock, Device, Person, dice, open_home

from unhush.identity.entry import parse_entry, verify_signature
from unhush.identity.keys import SigningKey
from unhush.identity.operations import SignedOperation
from unhush.storage.arrivals import Arrival
from unhush.storage.publish import Publisher
from unhush.storage.records import Record
from unhush.storage.store import Store


def new_publisher(clock_ms: Callable[[], int]) -> tuple[SigningKey, Publisher]:
    """The key a renewed home goes on with, always the same."""
    key = SigningKey(dice(50)(32))
    return key, Publisher(key, network=NETWORK, clock_ms=clock_ms, random_bytes=dice(51))


def renew(store: Store, person: Person, clock_ms: Callable[[], int]) -> tuple[Publisher, list[Record]]:
    """What ``unhush device renew`` does with the store: a new key, listed, and what never left written again."""
    key, publisher = new_publisher(clock_ms)
    return publisher, store.renew_device(publisher, signed(person.add(Device(key), "renewed")))


def signed(arrival: Arrival) -> SignedOperation:
    assert arrival.body is not None
    return SignedOperation(verify_signature(parse_entry(arrival.entry), NETWORK), arrival.body)


def _die_at(moment: int, clock: Clock) -> Callable[[], int]:
    """A clock that kills its process when it is asked for the time once more than ``moment`` times."""
    asked = 0

    def clock_ms() -> int:
        nonlocal asked
        asked += 1
        if asked > moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return clock()

    return clock_ms


if __name__ == "__main__":
    now = Clock()
    with open_home(Path(sys.argv[1]), now) as opened:
        renew(opened, Person("Ann", seed=1, clock_ms=now), _die_at(int(sys.argv[2]), now))
