"""Keeping between real nodes: promised, signed, proven, seen; and receipts that never say more than the disk has."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimer import covered, read_rows
from tests.support.commands import ANY_PORT, await_until, serving
from tests.support.nodes import config_of, introduce, publish
from tests.support.processes import child

from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import Receipt, parse_statement, verify_statement
from unhush.node import Config, Node, found_account
from unhush.node.errors import BadConfig, MalformedCid, NotFound, NotKept
from unhush.node.keeping import receipting
from unhush.node.views import KeeperInfo, KeptBy
from unhush.storage.store import Store

Make = Callable[..., Node]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Nodes that end with the test."""
    with ExitStack() as stack:

        def make_node(name: str, **settings: Any) -> Node:
            config = config_of(tmp_path / name, **({"lan": False} | settings))
            found_account(config, name)
            return stack.enter_context(Node(config))

        yield make_node


def keeper_of(node: Node, keeper: Node) -> KeeperInfo | None:
    return next((each for each in node.keepers() if each.account == keeper.account()), None)


# -- withheld and taken in again


def test_what_is_withheld_is_said_within_seconds_and_comes_back_when_that_is_undone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipting, "RECEIPTS", 2)  # one is spent while nothing is here yet: as in a busy minute
    ann, mara = make("Ann"), make("Mara")
    post = ann.post("Low tide.")
    mara.keep(ann.account())
    ann.start_network()
    mara.start_network()
    introduce(mara, ann)

    def receipt() -> Receipt | None:
        with ann._store.snapshot() as snapshot:
            said = snapshot.receipts_of(ann.account())
        claims = [each.claim for each in said]
        return next((each for each in claims if isinstance(each, Receipt) and each.heads), None)

    def reasons() -> list[str]:
        said = receipt()
        return [each.reason for each in said.withheld] if said is not None else []

    await_until(receipt, "Mara's receipt is with Ann")

    mara.withhold(post.id, "order of a court")
    await_until(lambda: reasons() == ["order of a court"], "Ann hears of it", within_s=15)
    assert not mara.show(post.id).has_body

    mara.unwithhold(post.id)
    await_until(lambda: mara.show(post.id).has_body, "it is here again", within_s=15)


# -- from a promise to a number beside a record


def test_a_record_goes_from_this_device_only_to_kept_by_one(make: Make) -> None:
    ann, mara = make("Ann"), make("Mara")
    post = ann.post("Low tide.")
    assert post.kept_by == KeptBy(0, 0, on_this_device_only=True)
    assert ann.status().kept.keepers == 0
    mara.keep(ann.account())
    ann.start_network()
    mara.start_network()
    introduce(mara, ann)
    # Somebody whom nobody asked keeps it: that is told apart.
    await_until(lambda: (ann.show(post.id).kept_by or KeptBy()).unproven, "Mara's receipt is here")
    said = ann.show(post.id).kept_by
    assert said is not None
    assert (said.proven, said.words) == (0, "kept by nobody proven, and 1 unproven")
    (keeper,) = ann.keepers()
    assert (keeper.counts, keeper.is_accepted, keeper.is_followed) == (False, False, False)

    ann.offer_keeping(mara.account())

    kept_by = ann.wait_kept(post.id, by=1, timeout_s=60)
    assert (kept_by.proven, kept_by.unproven, kept_by.words) == (1, 0, "kept by 1")
    (keeper,) = ann.keepers()
    assert (keeper.counts, keeper.is_accepted, keeper.why) == (True, True, "")
    summary = ann.status().kept
    assert (summary.keepers, summary.by_two) == (1, 0)
    assert summary.records >= summary.by_one > 0
    # The keeper knows who asked, and what it signed.
    await_until(mara.keeping_offers, "the request arrives")
    (offer,) = mara.keeping_offers()
    assert (offer.account, offer.is_kept) == (ann.account(), True)
    (kept,) = mara.kept()
    assert (kept.account, kept.problem, kept.is_full) == (ann.account(), "", False)
    assert kept.receipt_ms is not None
    with pytest.raises(NotKept) as late:
        ann.wait_kept(post.id, by=2, timeout_s=0.1)
    assert late.value.kept_by.proven == 1

    ann.withdraw_keeping(mara.account())
    assert (ann.show(post.id).kept_by or KeptBy()).proven == 0
    mara.unkeep(ann.account())
    await_until(lambda: not ann.keepers(), "a keeper that stopped says so")


def test_an_invite_that_asks_for_keeping_makes_a_keeper(make: Make) -> None:
    ann, ben, carl = make("Ann"), make("Ben"), make("Carl")
    for node in (ann, ben, carl):
        node.start_network()
    given = ann.invite(uses=2, asks_keeping=True)
    assert ben.read_invite(given.link).asks_keeping
    assert ben.accept(given.link, keep=True, timeout_s=60).state == "mutual"
    assert carl.accept(given.link, timeout_s=60).state == "mutual"
    assert [kept.account for kept in ben.kept()] == [ann.account()]
    assert carl.kept() == ()
    with ann._store.snapshot() as snapshot:
        assert snapshot.accepted_keepers(ann.account()) == {ben.account()}, "only who said yes is named"
    post = ann.post("Is anybody there?")
    assert ann.wait_kept(post.id, by=1, timeout_s=60).proven == 1


def test_an_invite_that_does_not_ask_names_nobody(make: Make) -> None:
    ann, ben = make("Ann"), make("Ben")
    ann.start_network()
    given = ann.invite()
    assert not ben.read_invite(given.link).asks_keeping
    assert ben.accept(given.link, keep=True, timeout_s=60).state == "mutual"
    with ann._store.snapshot() as snapshot:
        assert snapshot.accepted_keepers(ann.account()) == frozenset()
    assert [kept.account for kept in ben.kept()] == [ann.account()]


# -- the budget


def test_a_full_budget_is_said_and_the_receipt_stops_at_what_is_held(make: Make) -> None:
    ann, mara = make("Ann"), make("Mara")
    # What is larger than its budget from the start comes newest first, and nothing of it is whole (docs/keeping.md).
    publish(ann, (f"{number} " + "x" * 20_000 for number in range(5)), per_commit=5)
    mara.keep(ann.account(), "1MiB")
    ann.offer_keeping(mara.account())
    ann.start_network()
    mara.start_network()
    introduce(mara, ann)
    await_until(lambda: (found := keeper_of(ann, mara)) is not None and found.receipt_ms, "a first receipt arrives")
    publish(ann, (f"{number} " + "x" * 20_000 for number in range(5, 80)), per_commit=10)
    await_until(lambda: mara.kept()[0].is_full, "the budget is full")
    (kept,) = mara.kept()
    assert "its budget of 1 MiB is full" in kept.problem
    assert kept.used_bytes <= 2**20
    last = ann.post("The newest.")
    await_until(lambda: (found := keeper_of(ann, mara)) is not None and found.receipt_ms, "a receipt arrives")
    check_receipts(mara._store, ann.account(), mara.account(), "test")
    keeper = keeper_of(ann, mara)
    assert keeper is not None
    assert keeper.covers < keeper.records
    assert (ann.show(last.id).kept_by or KeptBy()).proven == 0
    assert mara.keeping_figures().full == 1
    # More room, and the rest comes; the next receipt may be a minute off.
    mara.keep(ann.account(), "8MiB")
    await_until(lambda: not mara.kept()[0].is_full, "there is room again")
    ann.wait_kept(last.id, timeout_s=60)


# -- verbs that refuse


def test_what_would_mean_nothing_is_refused(make: Make) -> None:
    ann = make("Ann")
    stranger = cid_of(b"stranger")
    for refused in (
        lambda: ann.keep(ann.account()),
        lambda: ann.offer_keeping(ann.account()),
        lambda: ann.keep(stranger, budget=5),
        lambda: ann.keep(stranger, media="some"),
        lambda: ann.keep(ann.post("hello").id),
        lambda: ann.withhold(stranger, ""),
        lambda: ann.withhold(stranger, "\ud800"),
        lambda: ann.keep(stranger, budget=True),
        lambda: ann.keep(stranger, budget=1e9),  # type: ignore[arg-type]
        lambda: ann.keep(stranger, media=5),  # type: ignore[arg-type]
        lambda: ann.keep_all((), exact=True),
        lambda: ann.withhold(stranger, None),  # type: ignore[arg-type]
        lambda: ann.wait_kept(stranger, by=0),
        lambda: ann.wait_kept(stranger, by="x"),  # type: ignore[arg-type]
        lambda: ann.wait_kept(stranger, timeout_s=float("nan")),
    ):
        with pytest.raises(BadConfig):
            refused()
    for missing in (
        lambda: ann.unkeep(stranger),
        lambda: ann.accept_keeping(stranger),
        lambda: ann.withdraw_keeping(stranger),
        lambda: ann.unwithhold(stranger),
        lambda: ann.wait_kept(stranger),
    ):
        with pytest.raises(NotFound):
            missing()
    assert ann.kept() == ann.keepers() == ann.keeping_offers() == ann.withheld() == ()


def test_people_are_named_as_the_commands_take_them_and_what_is_not_named_stays(make: Make) -> None:
    ann = make("Ann")
    mara = cid_of(b"Mara")
    ann.follow(mara, "mara")
    kept = ann.keep("mara", "500MiB", "all")
    assert (kept.account, kept.budget_bytes, kept.media) == (mara, 500 * 2**20, "all")
    again = ann.keep("mara")
    assert (again.budget_bytes, again.media, again.since_ms) == (kept.budget_bytes, "all", kept.since_ms)
    ann.offer_keeping("mara")
    assert ann.kept("mara")[0].account == ann.keepers()[0].account == mara
    assert ann.keepers("mara") == ()
    ann.withdraw_keeping("mara")
    ann.unkeep("mara")
    assert ann.kept() == ann.keepers() == ()
    with pytest.raises(MalformedCid):
        ann.keep("nobody")


# -- what a receipt says is there


def check_receipts(store: Store, account: Cid, keeper: Cid, network: str) -> int:
    """Every receipt the keeper's home has of its own against its rows; how many entries they cover."""
    receipts = []
    for signed in store.statements.about(account):
        statement = verify_statement(parse_statement(signed.block), network)
        if isinstance(statement.claim, Receipt) and statement.account == keeper:
            receipts.append(statement.claim)
    with store.snapshot() as snapshot:
        stored = {record.cid.digest: (record.block, record.body) for record in snapshot.rows(0)}
    count = 0
    for receipt in receipts:
        for cid in covered(receipt, stored):
            block, body = stored[cid.digest]
            assert cid_of(block) == cid
            assert body is not None, f"{cid} is said to be held and is not"
            count += 1
    return count


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(2, marks=pytest.mark.timeout(300)),
        pytest.param(40, marks=[pytest.mark.long, pytest.mark.timeout(3_600)]),
    ],
)
def test_a_keeper_killed_in_the_middle_of_a_sync_has_signed_nothing_it_does_not_have(
    kills: int, tmp_path: Path
) -> None:
    dice = random.Random(kills)
    ann, mara = Config(tmp_path / "ann", listen=(ANY_PORT,), lan=False), Config(tmp_path / "mara")
    account, keeper = found_account(ann, "Ann").account, found_account(mara, "Mara").account
    with Node(mara) as node:
        node.keep(account)
    with Node(ann) as sending:
        publish(sending, (f"before {number} " + "x" * dice.randrange(400) for number in range(600)))
        sending.start_network()
        peer = sending.status().listen[0]
        for life in range(kills):
            with serving(mara.home, "--no-lan", "--peer", peer) as process:
                time.sleep(dice.uniform(0.2, 1.0))
                for burst in range(dice.randrange(1, 4)):
                    publish(sending, (f"news {life} {burst} {number}" for number in range(200)))
                    time.sleep(dice.uniform(0.2, 2.5))  # a receipt is signed when it was quiet for a second
                process.kill()
            with Store(mara.home, network="main", clock_ms=mara.clock_ms) as store:
                check_receipts(store, account, keeper, "main")
        with serving(mara.home, "--no-lan", "--peer", peer):
            total = sending.person(account).posts + 1
            await_until(lambda: signed(mara.home) == total, "what was left out is there, and signed for")
    with Store(mara.home, network="main", clock_ms=mara.clock_ms) as store:
        assert check_receipts(store, account, keeper, "main") == total


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cid, Cid]:
    """The home of a keeper that has an account whole: where it is, whom it keeps, and who it is."""
    folder = tmp_path_factory.mktemp("kept")
    ann, mara = Config(folder / "ann"), Config(folder / "mara")
    account, keeper = found_account(ann, "Ann").account, found_account(mara, "Mara").account
    with Node(ann) as node:
        publish(node, (f"number {number} " + "y" * (number % 700) for number in range(300)))
        node.export_car(folder / "ann.car")
    with Node(mara) as node:
        node.keep(account)
        node.import_car(folder / "ann.car")
    return mara.home, account, keeper


@pytest.mark.parametrize("count", [60, pytest.param(3_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_turned_bits_are_never_signed_for(count: int, kept_home: tuple[Path, Cid, Cid], tmp_path: Path) -> None:
    home, account, _ = kept_home
    copy = tmp_path / "home"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("run", "lock.mdb"))
    with child("tests.support.claimer", str(copy), str(account), "7", str(count)) as claimer:
        found = [json.loads(claimer.line(60.0)) for _ in range(count)]
        claimer.finish()
    assert [facts for facts in found if facts.get("false")] == []
    assert [facts for facts in found if facts.get("end", "").startswith("!")] == []
    ends = [facts for facts in found if facts.get("end") == "well"]
    assert len(ends) > count // 2
    # Half of the bits are in what the account wrote: there the receipt stops before the damage.
    assert sum(facts["claimed"] < 301 for facts in ends) > count // 4


def test_a_keeper_that_finds_a_turned_bit_takes_its_word_back(kept_home: tuple[Path, Cid, Cid], tmp_path: Path) -> None:
    home, account, keeper = kept_home
    copy = tmp_path / "mara"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("run", "lock.mdb"))
    with serving(copy, "--no-lan"):
        await_until(lambda: signed(copy) == 301, "a receipt for all of it")
    with Store(copy, network="main", clock_ms=Config(copy).clock_ms) as store:
        assert check_receipts(store, account, keeper, "main") == 301
    data = bytearray((copy / "store" / "data.mdb").read_bytes())
    at = data.find(b"number 200 ")
    while at >= 0:  # everywhere it stands: in old pages too
        data[at + 3] ^= 4
        at = data.find(b"number 200 ", at + 1)
    (copy / "store" / "data.mdb").write_bytes(data)
    with serving(copy, "--no-lan"):
        await_until(lambda: signed(copy) == 201, "the receipt stops before the damage")
    assert read_rows(home), "the home it was copied from is untouched"


def signed(home: Path) -> int:
    """How many entries the newest receipt of a keeper's home covers, of the one account it keeps; -1 without any."""
    with Node(Config(home)) as node:
        keeper, (kept,) = node.account(), node.kept()
        with node._store.snapshot() as snapshot:
            for statement in snapshot.receipts_of(kept.account):
                claim = statement.claim
                if statement.account == keeper and isinstance(claim, Receipt):
                    return sum(head.seq + 1 for head in claim.heads)
    return -1
