"""``audit`` and ``verify FILE`` of evidence, as people type them; the network is other tests' business."""

from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.support.people import Person

from unhush.identity.statement import (
    Absent,
    Head,
    Heads,
    MediaPolicy,
    Receipt,
    Withheld,
    parse_statement,
    sign_statement,
)
from unhush.node import Config, Node
from unhush.node.config import wall_clock_ms
from unhush.storage.arrivals import Arrival, Batch
from unhush.storage.keeping.speakers import Operation
from unhush.storage.keeping.statements import SignedStatement

DAY_MS = 24 * 3_600 * 1_000


def sign(who: Person, claim: Heads | Receipt | Absent, at_ms: int) -> SignedStatement:
    said = sign_statement(who.device.key, who.account, claim, time=at_ms, expires=at_ms + DAY_MS, network=who.network)
    return SignedStatement(said.block, (Operation(who.inception.entry.block, who.inception.body),))


def digest_of(signed: SignedStatement) -> bytes:
    return parse_statement(signed.block).digest


@pytest.fixture
def lied_to(ann: Cli) -> tuple[Cli, Person, Person]:
    """Ann follows an author whose record 3 a keeper promised to hold, and does not give."""
    author, keeper = Person("author", 81, network="main"), Person("keeper", 82, network="main")
    written = author.posts(6)
    with Node(Config(ann.home)) as node:
        node.follow(author.account)
        rows = [author.incept, *(each.arrival for each in written if each.seq != 3)]
        node._store.ingest(Batch(tuple(rows), "a test", wanted_only=True))
        now_ms = wall_clock_ms()
        head = Head(author.key, 5, written[5].cid)
        receipt = sign(keeper, Receipt(author.account, (head,), (), bytes(32), MediaPolicy.NONE), now_ms - 2_000)
        absent = Absent(author.account, written[3].cid, "no \x1b[31mroom", digest_of(receipt))
        heads = sign(author, Heads((head,), bytes(32)), now_ms - 3_000)
        node._store.statements.take([heads, receipt, sign(keeper, absent, now_ms - 1_000)], now_ms)
    return ann, author, keeper


def test_ones_own_account_is_complete(ann: Cli) -> None:
    said = ann("audit")
    assert said.code == 0
    assert said.out.startswith("Complete: everything is here")
    assert "no node runs here" in said.out
    assert ann.json("audit").one()["verdict"] == "complete"


def test_a_gap_is_told_in_words_and_by_the_exit_code(lied_to: tuple[Cli, Person, Person]) -> None:
    ann, author, keeper = lied_to
    said = ann("audit", str(author.account))
    assert said.code == 12
    assert said.out.startswith("Gap: something is missing, and nobody whose word counts says why, as of ")
    assert "missing record 3" in said.out
    assert f"{keeper.account} contradicts itself" in said.out
    assert "\x1b" not in said.out
    value = ann.json("audit", str(author.account)).lines()[0]
    assert (value["verdict"], value["logs"][0]["gaps"]) == ("gap", [[3, 3]])
    assert value["accused"][0]["keeper"] == str(keeper.account)
    assert value["asked"] is None


def test_evidence_is_written_and_checked_without_a_home(lied_to: tuple[Cli, Person, Person], tmp_path: Path) -> None:
    ann, author, keeper = lied_to
    file = tmp_path / "evidence.cbor"
    said = ann("audit", str(author.account), "--evidence", str(file))
    assert said.code == 12
    assert f"unhush verify {file}" in said.out
    stranger = ann.at(tmp_path / "nobody")
    checked = stranger("verify", str(file))
    assert checked.code == 0
    assert f"{keeper.account} contradicts itself" in checked.out
    assert "\x1b" not in checked.out + checked.err
    assert not (tmp_path / "nobody").exists()
    value = stranger.json("verify", str(file)).lines()[0]
    assert (value["kind"], value["ok"], value["accused"][0]["seq"]) == ("evidence", True, 3)

    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    broken = stranger("verify", str(file))
    assert (broken.code, broken.out) == (6, "")
    assert "no sound evidence" in broken.err
    file.write_bytes(bytes(data[: len(data) // 2]))
    cut = stranger("verify", str(file))
    assert (cut.code, "the file ends in the middle" in cut.err, "CBOR" in cut.err) == (6, True, False)


def test_what_a_keeper_does_without_is_named_wherever_somebody_looks(ann: Cli, tmp_path: Path) -> None:
    author, keeper = Person("author", 84, network="main"), Person("keeper", 85, network="main")
    written = author.posts(4)
    here, gone = written[2].cid, written[3].cid
    with Node(Config(ann.home)) as node:
        node.follow(author.account)
        rows = [author.incept, *(each.arrival for each in written[:3]), Arrival(written[3].arrival.entry, None)]
        node._store.ingest(Batch(tuple(rows), "a test", wanted_only=True))
        now_ms = wall_clock_ms()
        head = Head(author.key, 3, gone)
        without = tuple(sorted((Withheld(here, "a \x1b[31mreason"), Withheld(gone, "another reason"))))
        receipt = Receipt(author.account, (head,), without, bytes(32), MediaPolicy.NONE)
        node._store.statements.take([sign(keeper, receipt, now_ms - 1_000)], now_ms)

    (listed,) = ann.json("keepers", str(author.account)).lines()
    assert {each["id"]: each["reason"] for each in listed["withheld"]}[str(gone)] == "another reason"
    people = ann("keepers", str(author.account)).out
    assert f"withholds {gone}: another reason" in people
    assert "\x1b" not in people

    value = ann.json("audit", str(author.account)).lines()[0]
    assert [(each["entry"], each["by"]) for each in value["elsewhere"]] == [(str(here), str(keeper.account))]
    assert f"withholds {here}, which is here: a " in ann("audit", str(author.account)).out

    assert value["verdict"] == "gap"  # nobody asked this keeper, and Ann does not follow it
    (said,) = value["logs"][0]["said"]
    assert (said["entry"], said["by"], said["reason"]) == (str(gone), str(keeper.account), "another reason")
    assert "whose word does not count, says: another reason" in ann("audit", str(author.account)).out

    assert "another reason)" in ann("show", str(gone)).out
    assert ann.json("show", str(gone)).one()["withheld"] == {
        "here": False, "by": str(keeper.account), "reason": "another reason",
    }  # fmt: skip
    assert ann.json("show", str(here)).one()["withheld"] is None
    assert ann("withhold", str(gone), "--reason", "my own").code == 0
    assert "(withheld here: my own)" in ann("show", str(gone)).out

    assert f"record 3 ({gone}) is withheld by this node: my own" in ann("audit", str(author.account)).out

    file = tmp_path / "evidence"
    assert ann("audit", str(author.account), "--evidence", str(file)).code == 11
    checked = ann("verify", str(file))
    assert f"{gone}: another reason" in checked.err
    before = file.read_bytes()
    again = ann("audit", str(author.account), "--evidence", str(file))
    assert (again.code, "--force" in again.err, file.read_bytes() == before) == (1, True, True)
    assert ann("audit", str(author.account), "--evidence", str(file), "--force").code == 11


def test_evidence_that_cannot_be_written_says_so(ann: Cli, tmp_path: Path) -> None:
    said = ann("audit", "--evidence", str(tmp_path / "no folder" / "evidence"))
    assert said.code == 1
    assert "cannot be written" in said.err


def test_an_account_that_is_not_here_is_not_judged(ann: Cli) -> None:
    assert ann("audit", str(Person("nobody", 83).account)).code == 3
