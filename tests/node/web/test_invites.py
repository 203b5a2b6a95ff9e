"""Invites on the page: made, shown once with their QR code, read before anything is done, accepted, taken back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.node.web.client import Client
from tests.node.web.fake import ME, PEER, FakeNode
from tests.support.commands import ANY_PORT, await_until

from unhush.gossip.proto.invites import Invite, encode_invite, wrap_invite
from unhush.identity.cid import cid_of
from unhush.node import Config, Node, found_account
from unhush.node.web import WebServer
from unhush.node.web.invites import MAX_MADE

ANN = cid_of(b"Ann")
HOSTILE = "<script>alert(1)</script>"


def link(node: FakeNode, **changes: object) -> str:
    said = Invite(ANN, PEER, (f"/ip4/192.0.2.7/tcp/4470/p2p/{PEER}",), bytes(16), node.now_ms // 1000 + 3600, "Ann")
    return encode_invite(replace(said, **changes))  # type: ignore[arg-type]  # fields by name


def test_an_invite_is_made_and_its_text_and_picture_are_shown(client: Client, node: FakeNode) -> None:
    node.lists.create("sea")
    node.lists.add("sea", node.meet("ines", "Ines"))
    answer = client.submit("/invites/new", {"days": "3", "uses": "2", "list": "sea"})
    assert answer.status == 303
    assert node.calls[-1] == ("invite", 3 * 86_400, 2, "sea")
    page = client.get(answer.headers["Location"]).page
    assert "unhush:" in page.text
    (picture,) = page.all("img", class_="qr")
    assert picture["alt"]
    drawn = client.get(picture["src"])
    assert drawn.status == 200
    assert drawn.headers["Content-Type"].startswith("image/svg+xml")
    assert b"<svg" in drawn.body
    assert b"<script" not in drawn.body
    assert drawn.headers["Cache-Control"] == "no-store"
    assert "accepted by 0 of 2" in client.get("/invites").page.text


def test_the_text_of_an_invite_is_forgotten_after_some_more_and_never_shown_outside(
    client: Client, outside: Client, node: FakeNode
) -> None:
    first = client.submit("/invites/new", {"days": "7", "uses": "1"}).headers["Location"]
    for path in (first, first + "/qr.svg", "/invites"):
        assert outside.get(path).status == 401
    for _ in range(MAX_MADE):
        client.submit("/invites/new", {"days": "7", "uses": "1"})
    assert client.get(first).status == 404
    assert client.get("/invites/made/nothing").status == 404
    assert client.get("/invites/made/nothing/qr.svg").status == 404


@pytest.mark.parametrize(
    "form",
    [
        {"days": "0", "uses": "1"},
        {"days": "31", "uses": "1"},
        {"days": "x", "uses": "1"},
        {"days": "7", "uses": "65"},
        {"days": "7"},
        {"days": "7", "uses": "1", "list": "none"},
        {"days": "٧", "uses": "1"},
    ],
    ids=str,
)
def test_an_invite_that_will_not_do_is_not_made(client: Client, node: FakeNode, form: dict[str, str]) -> None:
    answer = client.submit("/invites/new", form)
    assert answer.status == 422
    assert len(answer.page.all("p", role="alert")) == 1
    assert node.calls == []


def test_an_invite_is_ended(client: Client, node: FakeNode) -> None:
    client.submit("/invites/new", {"days": "7", "uses": "1"})
    assert client.submit("/invites/cancel", {"id": "invite0"}).headers["Location"] == "/invites"
    assert node.given == {}
    assert client.submit("/invites/cancel", {"id": "invite0"}).status == 422


def test_what_an_invite_says_is_shown_before_anything_is_done(client: Client, node: FakeNode) -> None:
    starter = (node.meet("ines", "Ines Lind"), cid_of(b"unknown"))
    answer = client.submit("/invites/read", {"invite": "> " + wrap_invite(link(node, starter=starter)) + "\nBye"})
    assert answer.status == 200
    text = answer.page.text
    for said in ("Ann", "word word word", str(ANN), "/ip4/192.0.2.7/tcp/4470/p2p/", "Ines Lind", "2 people"):
        assert said in text
    assert answer.page.all("input", id="petname")[0]["value"] == "Ann"
    assert node.calls == []


def test_an_invite_is_accepted_with_its_people_or_without(client: Client, node: FakeNode) -> None:
    starter = (cid_of(b"one"), cid_of(b"two"))
    text = link(node, starter=starter)
    answer = client.submit("/invites/accept", {"invite": text, "petname": "annie", "starter": "on"})
    assert (answer.status, answer.headers["Location"]) == (303, f"/invites#accepted-{ANN}")
    assert ("accept", ANN, "annie", starter) in node.calls
    assert "was not reached yet" in client.get("/invites").page.text
    client.submit("/invites/accept", {"invite": text, "petname": ""})
    assert ("accept", ANN, None, ()) in node.calls
    assert client.submit("/invites/drop", {"account": str(ANN)}).status == 303
    assert node.taken == {}
    assert client.submit("/invites/drop", {"account": "nobody"}).status == 422


@pytest.mark.parametrize("act", ["read", "accept"])
@pytest.mark.parametrize("text", ["", " ", "hello", "unhush:abc", HOSTILE, "unhush:" + "a" * 20_000])
def test_what_is_no_invite_comes_back_as_typed(client: Client, node: FakeNode, act: str, text: str) -> None:
    answer = client.submit(f"/invites/{act}", {"invite": text})
    assert answer.status == 422
    assert len(answer.page.all("p", role="alert")) == 1
    assert "<script>alert" not in answer.text
    assert node.calls == []


def test_a_hostile_name_stands_as_text(client: Client, node: FakeNode) -> None:
    answer = client.submit("/invites/read", {"invite": link(node, name=HOSTILE, addresses=())})
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    assert HOSTILE in answer.page.text


def test_one_that_is_over_cannot_be_accepted_from_the_page(client: Client, node: FakeNode) -> None:
    page = client.submit("/invites/read", {"invite": link(node, until_s=1)}).page
    assert "It is over" in page.text
    assert not page.all("form", action="/invites/accept")


def test_nothing_is_done_without_the_token(client: Client, node: FakeNode) -> None:
    text = link(node)
    forms = {
        "new": {"days": "7", "uses": "1"}, "cancel": {"id": "x"}, "read": {"invite": text},
        "accept": {"invite": text}, "drop": {"account": str(ANN)},
    }  # fmt: skip
    for act, form in forms.items():
        assert client.submit(f"/invites/{act}", {**form, "token": ""}).status == 403
    assert node.calls == []


@pytest.fixture
def edda(tmp_path: Path) -> Iterator[Node]:
    with make_node(tmp_path / "edda", "Edda Sol") as node:
        yield node


def make_node(home: Path, name: str) -> Node:
    config = Config(home, network="test", listen=(ANY_PORT,))
    found_account(config, name)
    return Node(config)


def test_two_pages_of_real_nodes_make_a_mutual_follow(edda: Node, tmp_path: Path) -> None:
    with make_node(tmp_path / "otto", "Otto") as otto, WebServer(edda) as first, WebServer(otto) as second:
        ours, theirs = Client(first), Client(second)
        ours.enter(), theirs.enter()
        refused = ours.submit("/invites/new", {"days": "7", "uses": "1"})
        assert refused.status == 422
        assert "unhush run" in refused.page.text
        edda.start_network()
        otto.start_network()
        made = ours.submit("/invites/new", {"days": "7", "uses": "1"}).headers["Location"]
        text = next(word for word in ours.get(made).page.text.split() if word.startswith("unhush:"))
        assert ours.submit("/invites/read", {"invite": text}).status == 422  # one's own
        assert "Edda Sol" in theirs.submit("/invites/read", {"invite": text}).page.text
        assert theirs.submit("/invites/accept", {"invite": text, "petname": "Edda"}).status == 303
        await_until(lambda: "You follow each other" in theirs.get("/invites").page.text, "the page says so")
        await_until(lambda: otto.account() in {each.account for each in edda.follows()}, "Edda follows back")
        await_until(lambda: otto.person(edda.account()).name == "Edda Sol", "what Edda wrote arrives")
        assert str(otto.account()) in ours.get("/invites").text
        assert str(ME) not in ours.get("/invites").text
