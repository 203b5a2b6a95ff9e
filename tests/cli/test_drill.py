"""``unhush drill`` on real homes: a node that runs, a follower and a keeper of it, and a stranger who asks."""

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from tests.cli.conftest import Cli
from tests.support.commands import ANY_PORT, await_until, command, start
from tests.support.nodes import address_of
from tests.support.people import Person

from unhush.cli.drill import _advice_text
from unhush.gossip.proto.drilling import Advice, Step
from unhush.node import Config, Created, Node
from unhush.node.drill.forecast import _name
from unhush.node.drill.forecast import drill as drill_here
from unhush.node.drill.live import drill_live, is_sound
from unhush.storage.verify import Report

SOMEBODY: Final = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}/p2p/{SOMEBODY}"


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes that only this machine reaches, however many of them; the usual network would be asked for by nobody."""
    monkeypatch.setattr("unhush.node.config.DEFAULT_LISTEN", (ANY_PORT,))
    monkeypatch.setattr(
        "tests.support.commands.PATIENCE_S", 180.0
    )  # worlds are computed, on whatever is left of two cores


def config_of(home: Path, *peers: str) -> Config:
    return Config(home, listen=(ANY_PORT,), peers=peers, lan=False, exempt_loopback=True)


def drill(cli: Cli, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    """In a process of its own, beside the node that runs here."""
    ended = command("--home", cli.home, "--json", "drill", *arguments, **environment)
    assert ended.code in (0, 7), ended
    return ended.lines()


def test_a_drill_says_what_a_home_that_nobody_follows_would_lose(ann: Cli) -> None:
    ann("post", "hello")
    said = ann.json("drill")

    assert said.code == 7, said
    (report,) = said.lines()
    assert (report["own"], report["running"], report["followers"]) == (True, False, 0)
    assert report["records_lost"] >= 1
    assert report["through"] is None
    # The words of ``ann`` were made for her and still wait in her home.
    assert not report["author_returns"]
    assert report["advice"]["step"] == "write_words"
    text = ann("drill").out
    assert "If this were lost: this machine" in text
    assert "Nobody else is known to carry this account" in text
    assert "unhush id check" in text


def test_a_drill_of_somebody_else_works_without_an_account_and_advises_what_one_can_do(
    ann: Cli, tmp_path: Path
) -> None:
    ann("post", "hello")
    assert ann("export", "car", str(tmp_path / "ann.car")).code == 0
    account = ann.json("id", "show").one()["account"]
    bob = ann.at(tmp_path / "bob")
    assert bob("import", "car", str(tmp_path / "ann.car")).code == 0

    (said,) = bob.json("drill", "--account", account).lines()
    text = bob("drill", "--account", account).out

    assert (said["own"], said["running"], said["followers"]) == (False, False, 1.0)
    assert said["lost"] == [{"machine": "the author's machine", "called": "the author's machine"}]
    assert "pages that name the author's machine lead nowhere" in text
    with Node(Config(bob.home)) as node:
        drilled = drill_here(node, account=account)
    advised = replace(drilled, report=replace(drilled.report, advice=Advice(Step.ADD_KEEPER, 1.0, 0.5)))
    assert f"there: unhush keep {account}" in _advice_text(advised)
    assert "--offer" not in _advice_text(advised)


def test_a_machine_of_somebody_known_only_by_what_they_signed_has_a_name(ann: Cli) -> None:
    stranger = Person("stranger", 86).account
    facts = cast("Any", SimpleNamespace(own=None, whose={"12D3KooWstranger": stranger}))
    with Node(Config(ann.home)) as node:
        assert _name(node, facts, "12D3KooWstranger") == f"{str(stranger)[-6:]} (…stranger)"


@pytest.mark.parametrize("lose", ["house", "peer", "peer:99", "keeper:0", ""])
def test_what_cannot_be_lost_is_refused(ann: Cli, lose: str) -> None:
    said = ann("drill", "--lose", lose)
    assert said.code == 2
    assert "a drill loses home, peer:N" in said.err


def test_a_drill_sees_who_is_there_and_changes_nothing(
    ann: Cli, found: Callable[[str], Created], started: ExitStack
) -> None:
    ben = found("Ben")
    author = started.enter_context(Node.open(config_of(ann.home)))
    author.post("hello")
    author.start_network()
    follower = started.enter_context(Node.open(config_of(ann.home.parent / "ben", address_of(author))))
    follower.follow(author.account())
    follower.start_network()
    await_until(lambda: follower.person(author.account()).posts == 1, "the follower has it")
    await_until(lambda: author.followers(author.account()).items, "the author knows of it")
    before = author.last_aid()

    (report,) = drill(ann)

    assert ben.account != author.account()
    assert report["running"]
    assert report["lost"][0]["machine"] == author.status().peer
    assert report["followers"] == 1
    assert report["share"] == 1.0
    assert report["through"] == address_of(follower)
    assert author.last_aid() == before
    (of_ben,) = drill(ann, "--account", str(ben.account), "--lose", "handle,peer:1")
    assert not of_ben["own"]


def test_a_live_drill_reads_the_account_from_who_is_left_and_leaves_nothing_behind(
    ann: Cli, found: Callable[[str], Created], started: ExitStack, tmp_path: Path
) -> None:
    found("Ben")
    author = started.enter_context(Node.open(config_of(ann.home)))
    for number in range(5):
        author.post(f"post {number}")
    author.start_network()
    follower = started.enter_context(Node.open(config_of(ann.home.parent / "ben", address_of(author))))
    follower.follow(author.account())
    follower.start_network()
    await_until(lambda: follower.person(author.account()).posts == 5, "the follower has everything")
    folder = tmp_path / "temporary"
    folder.mkdir()

    report, came = drill(ann, "--live", TMPDIR=str(folder))

    assert report["through"] == address_of(follower)
    assert came["asked"] == address_of(follower)
    assert (came["records"], came["clean"]) == (came["expected"], True)
    assert came["verified"] >= 5
    for node, other in ((author, follower), (follower, author)):
        assert node._running is not None
        known = {each.peer_id for each in node._running.acquaintances(author.account()) if not each.is_connected}
        assert known <= {other.status().peer}  # nobody remembers a stranger who is gone
    assert came["complete_s"] >= came["first_post_s"] >= 0
    assert list(folder.iterdir()) == []


def test_a_live_drill_that_is_interrupted_leaves_nothing_behind(
    ann: Cli, silent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seen = threading.Event()

    def interrupted(*_: object, **__: object) -> None:
        assert any(folder.iterdir())
        seen.set()
        raise KeyboardInterrupt

    monkeypatch.setattr("unhush.node.drill.live._ask", interrupted)
    began = time.monotonic()

    assert ann("drill", "--live", "--peer", silent).code == 1
    assert seen.is_set()
    assert list(folder.iterdir()) == []
    assert time.monotonic() - began < 60


def test_a_live_drill_that_is_told_to_end_leaves_nothing_behind(ann: Cli, silent: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    with start("--home", ann.home, "drill", "--live", "--peer", silent, TMPDIR=str(folder)) as process:
        await_until(lambda: any(folder.glob("unhush-drill-*/home")), "the throw-away home is there")
        process.terminate()
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err.split()[-1]) == (1, b"stopped")
    assert list(folder.iterdir()) == []


def test_a_live_drill_where_nobody_is_says_so_at_once(ann: Cli) -> None:
    nobody = f"/ip4/127.0.0.1/tcp/1/p2p/{SOMEBODY}"
    began = time.monotonic()

    said = ann("drill", "--live", "--peer", nobody)

    assert said.code == 5
    assert f"calling {nobody} …" in said.err
    assert f"cannot reach {nobody}: the connection was refused" in said.err
    assert time.monotonic() - began < 60


def test_a_live_drill_says_that_it_waits_for_somebody_who_says_nothing(
    ann: Cli, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.node.drill.live._SAY_EVERY_S", 0.5)
    heard: list[str] = []
    with Node(Config(ann.home)) as node:
        came = drill_live(
            node,
            drill_here(node),
            "home",
            peer=silent,
            patience_s=3.0,
            on_progress=lambda what, _count: heard.append(what),
        )

    assert came.connected_s is None
    assert heard[:2] == [f"calling {silent}", "nobody answers yet"]


def test_what_a_stranger_lacks_of_others_is_no_fault_of_what_came() -> None:
    lacking = Report(entries=3, bad=0, missing=2, forks=0)

    assert is_sound(lacking)
    assert not is_sound(replace(lacking, bad=1))
    assert not is_sound(replace(lacking, forks=1))


def test_the_person_at_the_keyboard_is_not_told_to_ask_themselves(ann: Cli) -> None:
    with Node(Config(ann.home)) as node:
        drilled = drill_here(node)
    ours, others = drilled.situation.home, "12D3KooWfay"
    drilled = replace(drilled, names={ours: "this machine", others: "Fay (…fay)"}, ours=frozenset({ours}))

    def advice(about: str) -> str:
        advised = Advice(Step.OPEN_FOLLOWER, 1.0, 0.5, about)
        return _advice_text(replace(drilled, report=replace(drilled.report, advice=advised)))

    assert "Let others in here: unhush doctor" in advice(ours)
    assert "Ask Fay" in advice(others)


def test_as_many_is_said_of_somebody_only(ann: Cli) -> None:
    with Node(Config(ann.home)) as node:
        drilled = drill_here(node)

    def advice(share: float, followers: float) -> str:
        report = replace(drilled.report, followers=followers, advice=Advice(Step.STAY_ONLINE, share, share))
        return _advice_text(replace(drilled, report=report))

    assert "as many find it, and less is lost" in advice(0.5, 2.0)
    assert "nobody finds it yet" in advice(0.0, 2.0)
    assert advice(1.0, 0.0).endswith("(less is lost).")


def test_a_live_drill_with_nobody_to_ask_says_so(ann: Cli) -> None:
    said = ann("drill", "--live")
    assert said.code == 5
    assert "there is no address of a carrier that would be left" in said.err


def test_an_address_without_a_live_drill_is_refused(ann: Cli) -> None:
    said = ann("drill", "--peer", f"/ip4/127.0.0.1/tcp/1/p2p/{SOMEBODY}")
    assert (said.code, said.out, said.err) == (2, "", "unhush: --peer goes with --live.\n")
