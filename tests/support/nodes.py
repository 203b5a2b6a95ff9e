"""Several nodes in one test: their homes, who knows whose address, and what each of them shows.

Raw entries, as a thief or a test writes them, go in by ``hand``, the door for
what peers bring; from there they travel by real sync.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.commands import ANY_PORT, await_until
from tests.support.people import NETWORK, Written, dice

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.entry import Entry, Header, sign_entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.node import Config, Node, Shown
from unhush.node.config import wall_clock_ms
from unhush.node.views import DeviceInfo
from unhush.storage.arrivals import Arrival, Batch, Outcome
from unhush.storage.keyfile import Sealing
from unhush.storage.kinds import Body, Post
from unhush.storage.records import Record

CHEAP: Final = Sealing(1, 8192)
HAND: Final = 500  # records given to a store at once


def config_of(home: Path, **settings: Any) -> Config:
    """A home on loopback whose sealing costs nothing; who is connected with whom, the test says."""
    usual: dict[str, Any] = {
        "network": NETWORK,
        "listen": (ANY_PORT,),
        "sealing": CHEAP,
        "exempt_loopback": True,
        "exchange": False,
    }
    return Config(home, **(usual | settings))


def address_of(node: Node) -> str:
    return node.status().listen[0]


def introduce(node: Node, *others: Node) -> None:
    """Let a running node know the addresses of others; it dials them."""
    for other in others:
        node.add_peer(address_of(other))


def publish(node: Node, texts: Iterable[str], per_commit: int = 100) -> None:
    """Post many in few commits."""
    waiting = list(texts)
    while waiting:
        node._publish(*(Post(text) for text in waiting[:per_commit]))
        del waiting[:per_commit]


def pages(turn: Callable[[str | None], Any]) -> Iterator[Shown]:
    """Every record of a list that comes in pages."""
    before: str | None = None
    while True:
        page = turn(before)
        yield from page.items
        before = page.next
        if before is None:
            return


def posts_of(node: Node, account: Cid) -> list[str]:
    """What is shown of an account, oldest first."""
    return [shown.text for shown in pages(lambda before: node.person_posts(account, 500, before))][::-1]


def timeline_of(node: Node) -> list[str]:
    return [shown.text for shown in pages(lambda before: node.timeline(500, before))][::-1]


def device_of(node: Node, account: Cid, key: PublicKey) -> DeviceInfo:
    return next(device for device in node.devices.identity(account).devices if device.key == key)


def fork_of(node: Node, account: Cid, key: PublicKey) -> int | None:
    """Where a log is marked as forked."""
    found = (device.fork for device in node.devices.identity(account).devices if device.key == key)
    return next(found, None)


def beside(node: Node, account: Cid) -> int:
    """Entries held that do not stand in the slot of their number: two at one place, or a hole between."""
    with node._store.snapshot() as snapshot:
        return sum(snapshot.count_beside(log) for _, _, log in snapshot.logs(account))


def records_of(node: Node, account: Cid) -> list[Record]:
    """Operations and entries held of an account, operations first."""
    with node._store.snapshot() as snapshot:
        entries = (record for _, _, log in snapshot.logs(account) for record in snapshot.log_records(log))
        return [*snapshot.operations(account), *entries]


def key_of(node: Node, cid: Cid) -> PublicKey:
    """The device that signed a record."""
    with node._store.snapshot() as snapshot:
        record = snapshot.record(cid)
    assert record is not None
    return record.entry.header.key


def hand(node: Node, arrivals: Iterable[Arrival]) -> list[Outcome]:
    """Give a node's store records as peers do: only what it carries is taken."""
    waiting = list(arrivals)
    outcomes: list[Outcome] = []
    while waiting:
        outcomes += node._store.ingest(Batch(tuple(waiting[:HAND]), "a test", wanted_only=True))
        del waiting[:HAND]
    return outcomes


def arrivals_of(records: Iterable[Record]) -> list[Arrival]:
    return [Arrival(record.block, record.body) for record in records]


def await_all(nodes: Iterable[Node], is_so: Callable[[Node], object], what: str, *, within_s: float = 60.0) -> float:
    """Wait until something holds on each; how long that took."""
    began = time.monotonic()
    left = list(nodes)

    def are_done() -> bool:
        left[:] = [node for node in left if not is_so(node)]
        return not left

    await_until(are_done, what, within_s=within_s)
    return time.monotonic() - began


@dataclass
class Thief:
    """Somebody with a copy of a device's key, who writes what he likes, from wherever he likes in its log."""

    account: Cid
    key: SigningKey
    seed: int = 1

    def __post_init__(self) -> None:
        self._random_bytes = dice(self.seed)

    def write(self, bodies: Iterable[Body], after: Entry) -> list[Written]:
        """A branch that begins after an entry of the log."""
        written = []
        head = after
        for body in bodies:
            block = encode({"salt": self._random_bytes(16), **body.fields()})
            header = Header(
                account=self.account,
                key=self.key.public,
                seq=head.header.seq + 1,
                prev=head.cid,
                time=wall_clock_ms(),
                kind=body.kind,
                body=cid_of(block),
                size=len(block),
            )
            head = sign_entry(self.key, header, NETWORK)
            written.append(Written(head, block))
        return written
