"""Room of a node: what was taken back leaves with nobody, and a running node makes room by itself."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.support.commands import await_until
from tests.support.nodes import config_of
from tests.support.people import NETWORK, START_MS, Clock, Person, arrivals_of

from unhush.identity.cid import Cid
from unhush.node import Node, found_account
from unhush.node.home.room import Housekeeping
from unhush.storage.arrivals import Batch
from unhush.storage.room.tiers import DAY_MS, KIB, USUAL, Tier
from unhush.storage.schema import Table


def body_of(node: Node, record: Cid) -> bytes | None:
    with node._store.snapshot() as snapshot:
        found = snapshot.record(record)
    return found.body if found is not None else None


def is_noted(node: Node) -> bool:
    with node._store._environment.read() as txn:
        return txn.count(Table.GRACE) == 1


def test_a_peer_that_comes_after_a_delete_gets_the_entry_and_never_the_body(tmp_path: Path) -> None:
    with ExitStack() as stack:
        homes = [config_of(tmp_path / name) for name in ("ann", "ben")]
        for config in homes:
            found_account(config, config.home.name)
        ann, ben = (stack.enter_context(Node.open(config)) for config in homes)
        secret = ann.post("the secret")
        ann.delete(secret.id)
        ann.post("what may be known")
        ben.follow(ann.account())

        ann.start_network()
        ben.start_network()
        ben.add_peer(ann.status().listen[0])
        await_until(lambda: ben.person(ann.account()).posts == 1, "what may be known comes")
        await_until(lambda: ben.show(secret.id).is_deleted, "the delete comes")

        assert body_of(ann, secret.id) is not None
        assert body_of(ben, secret.id) is None
        ann.export_car(tmp_path / "ann.car")
        assert b"the secret" not in (tmp_path / "ann.car").read_bytes()
        assert b"what may be known" in (tmp_path / "ann.car").read_bytes()


def test_a_running_node_erases_what_has_had_its_time_and_ends_at_once(tmp_path: Path) -> None:
    clock = Clock()
    config = replace(config_of(tmp_path / "ann"), clock_ms=clock)
    found_account(config, "Ann")
    with Node.open(config) as ann:
        secret = ann.post("the secret")
        ann.delete(secret.id)
        housekeeping = Housekeeping(ann.room, first_s=0, every_s=0.01)
        try:
            await_until(lambda: is_noted(ann), "it is noted")
            assert ann.room.collect(is_dry=True).next_ms == START_MS + 30 * DAY_MS
            assert body_of(ann, secret.id) is not None
            clock.advance(30 * DAY_MS)
            await_until(lambda: body_of(ann, secret.id) is None, "it is erased")
        finally:
            housekeeping.stop()
        assert ann.show(secret.id).is_deleted


def test_limits_of_the_config_are_kept_and_shown(tmp_path: Path, new_node: Callable[[str], Node]) -> None:
    limits = replace(USUAL, stranger_bytes=4 * KIB, strangers_together_bytes=64 * KIB)
    config = config_of(tmp_path / "small", limits=limits)
    found_account(config, "Ann")
    stranger = Person("Stranger", seed=7, network=NETWORK)
    with Node.open(config) as node:
        log = [stranger.post("x" * 300) for _ in range(30)]
        node._store.ingest(Batch((stranger.incept, *arrivals_of(log)), "a file", wanted_only=False))
        node.follow(stranger.account, "Stranger")
        (follow,) = (each for each in node.events(timeout_s=0) if each.kind == "follow")
        followed = node.room.describe().report
        node.delete(follow.id)
        storage = node.room.describe()

    assert followed.tiers.accounts[Tier.FOLLOWED] == 1
    assert storage.report.tiers.accounts[Tier.STRANGER] == 1
    assert 0 < storage.report.tiers.usage[Tier.STRANGER].size_bytes <= 4 * KIB
    assert storage.names[stranger.account] == "Stranger"
    assert storage.due.overdrawn == 1
