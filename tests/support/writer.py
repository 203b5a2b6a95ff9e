"""A process that writes into a home somebody else may be using: ``HOME SEED ACTION``.

It says ``ready``, waits for one line on its input, does what it was started
for and prints the id of every record once the store has acknowledged it.

* ``posts=N``: publish N posts one by one; 0: until it is killed
* ``ingest=N``: take in N records of somebody else in batches; 0: until it is killed
* ``both``: post and take in by turns until it is killed
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from tests.support.people import NETWORK, Person, ingest, publisher_of

from unhush.storage.arrivals import Status
from unhush.storage.kinds import Delete, Edit, Follow, Post, Profile, React, Reply, Repost
from unhush.storage.room.tiers import BOUNDLESS
from unhush.storage.store import Store

BATCH = 7


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def say(words: Iterable[object]) -> None:
    sys.stdout.write("".join(f"{word}\n" for word in words))
    sys.stdout.flush()


def publish(store: Store, seed: int, number: int, friend: Person) -> Iterator[str]:
    """One post, and now and then something done to it or to others beside it."""
    person = Person("Ann", seed)
    publisher = publisher_of(person, now_ms, seed=int.from_bytes(os.urandom(4), "big"))
    for at in count() if number == 0 else range(number):
        records = store.publish(publisher, Post(f"post {at} of {os.getpid()}"))
        post = records[0].cid
        match at % 5:
            case 1:
                answer = Post("answer", tags=("answers",), reply=Reply(post, post, person.account, person.account))
                records += store.publish(publisher, Edit(post, Post("edited", title="title")), answer)
            case 2:
                records += store.publish(publisher, React(post, person.account, "+"), Repost(post, person.account))
            case 4:
                records += store.publish(publisher, Delete(post), Follow(friend.account))
        yield "\n".join(f"own {record.cid}" for record in records)


def take_in(store: Store, number: int, stranger: Person) -> Iterator[str]:
    """Somebody's records, newest first inside a batch, some at first without their bodies."""
    ingest(store, stranger.incept)
    made = 0
    while number == 0 or made < number:
        written = [stranger.post(f"theirs {made + place}") for place in range(BATCH - 1)]
        written.append(stranger.write(Profile(f"name {made}")))
        bare = [written[0].without_body, *(record.arrival for record in written[:0:-1])]
        outcomes = (*ingest(store, *bare), *ingest(store, written[0].arrival))
        made += BATCH
        yield "\n".join(f"theirs {outcome.cid}" for outcome in outcomes if outcome.status is Status.STORED)


def main() -> None:
    home, seed, action = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    name, _, number = action.partition("=")
    somebody = Person("Bob", int.from_bytes(os.urandom(4), "big"), clock_ms=now_ms)  # a new one in every life
    with Store(home, network=NETWORK, clock_ms=now_ms, limits=BOUNDLESS) as store:
        say(["ready"])
        sys.stdin.readline()
        match name:
            case "posts":
                for line in publish(store, seed, int(number), somebody):
                    say([line])
            case "ingest":
                for line in take_in(store, int(number), somebody):
                    say([line])
            case _:
                for own, theirs in zip(publish(store, seed, 0, somebody), take_in(store, 0, somebody), strict=True):
                    say([own, theirs])


if __name__ == "__main__":
    main()
