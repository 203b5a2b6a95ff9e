"""The same page over a real node: its store, its records, its words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.web.client import Client

from unhush.node import Config, Created, Node, found_account
from unhush.node.web import WebServer
from unhush.node.web.look import MAX_POST_BYTES


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Config, Created, Config, Created]:
    edda, ines = Config(tmp_path / "edda", network="test"), Config(tmp_path / "ines", network="test")
    return edda, found_account(edda, "Edda Sol"), ines, found_account(ines, "Ines Lind")


@pytest.fixture
def node(homes: tuple[Config, Created, Config, Created]) -> Iterator[Node]:
    with Node.open(homes[0]) as node:
        yield node


@pytest.fixture
def client(node: Node) -> Iterator[Client]:
    with WebServer(node) as server:
        client = Client(server)
        assert client.enter().status == 200
        yield client


def test_a_post_goes_into_the_store_and_comes_back(client: Client, node: Node) -> None:
    assert client.submit("/write", {"text": "Writing this from the ferry."}).status == 303
    (shown,) = node.timeline().items
    assert shown.text == "Writing this from the ferry."
    assert "Writing this from the ferry." in client.get("/").page.text
    assert "Writing this from the ferry." in client.get(f"/person/{node.account()}").page.text


def test_the_longest_post_is_taken(client: Client, node: Node) -> None:
    assert client.submit("/write", {"text": "é" * (MAX_POST_BYTES // 2)}).status == 303
    assert len(node.timeline().items) == 1


def test_a_reply_joins_its_thread(client: Client, node: Node) -> None:
    root = node.post("Low tide at the old cable station.")
    first = client.submit(f"/post/{root.id}/reply", {"text": "One hut!"}).headers["Location"]
    assert client.submit(f"{first}/reply", {"text": "And a chair."}).status == 303
    text = client.get(f"/post/{root.id}").page.text
    assert text.index("cable station") < text.index("One hut!") < text.index("And a chair.")
    assert [reply.text for reply in node.thread(root.id).replies] == ["One hut!", "And a chair."]


def test_what_is_done_to_a_post_on_the_page_is_done_in_the_store(client: Client, node: Node) -> None:
    root = node.post("Low tide at the old cable station. #tide")
    assert client.submit(f"/post/{root.id}/react", {"emoji": "❤️", "back": "/"}).status == 303
    assert client.submit(f"/post/{root.id}/repost", {"back": "/"}).status == 303
    assert client.submit(f"/post/{root.id}/quote", {"text": "Look."}).status == 303
    assert client.submit(f"/post/{root.id}/edit", {"text": "High tide. #tide"}).status == 303
    tally = node.show(root.id).tally
    assert (tally.reposts, tally.quotes, [each.emoji for each in tally.reactions]) == (1, 1, ["❤️"])
    assert "carried this" in client.get("/").page.text
    for path in ("/", "/activity", "/tag?name=TIDE", f"/post/{root.id}", f"/person/{node.account()}"):
        assert client.get(path).status == 200, path
    assert "High tide." in client.get("/tag?name=TIDE").page.text
    assert "Low tide" in client.get(f"/post/{root.id}/history").page.text
    assert client.submit(f"/post/{root.id}/unrepost", {}).status == 303
    assert client.submit(f"/post/{root.id}/unrepost", {}).status == 404
    assert client.submit(f"/post/{root.id}/react", {"emoji": "two words"}).status == 422
    assert client.submit(f"/post/{root.id}/delete", {}).status == 303
    assert node.show(root.id).is_deleted
    assert client.submit(f"/post/{root.id}/reply", {"text": "kept words"}).status == 422
    assert client.get(f"/post/{root.id}").status == 200


def test_an_account_nobody_here_has_heard_of_can_be_followed_and_left(client: Client, node: Node, homes) -> None:
    ines = homes[3].account
    answer = client.submit("/people", {"account": str(ines), "petname": "ines"})
    assert answer.status == 303
    page = client.get(answer.headers["Location"]).page
    assert "you call them ines" in page.text
    assert "Posts arrive when somebody who has them is connected." in page.text
    client.submit(f"/person/{ines}/follow", {"petname": "the tide"})
    assert node.person(ines).petname == "the tide"
    client.submit(f"/person/{ines}/follow", {"petname": ""})
    assert node.person(ines).petname is None
    assert client.submit(f"/person/{ines}/unfollow", {}).status == 303
    assert node.follows() == ()
    assert client.get(f"/person/{ines}").status in (200, 404)


def test_posts_of_a_followed_account_arrive_and_are_announced(
    client: Client, node: Node, homes, tmp_path: Path
) -> None:
    with Node.open(homes[2]) as other:
        other.set_profile("Ines Lind", "Tides and cables.")
        other.post("Low tide at the old cable station.")
        other.export_car(tmp_path / "ines.car")
    client.submit("/people", {"account": str(homes[3].account)})
    since = int(client.get("/").page.all("a", id="pill")[0]["data-since"])
    assert node.count_new(since) == 0
    node.import_car(tmp_path / "ines.car")
    assert node.count_new(since) == 1
    assert "Low tide" in client.get("/").page.text
    assert "Tides and cables." in client.get(f"/person/{homes[3].account}").page.text


def test_the_timeline_goes_back_by_cursor(client: Client, node: Node) -> None:
    for number in range(45):
        node.post(f"post number {number}.")
    first = client.get("/").page
    older = next(attrs["href"] for attrs in first.all("a") if "before=" in attrs.get("href", ""))
    rest = client.get(older).page
    assert (len(first.all("article")), len(rest.all("article"))) == (30, 15)
    assert client.get("/?before=nonsense").status == 404


def test_a_profile_is_published(client: Client, node: Node) -> None:
    assert client.submit("/profile", {"name": "Edda", "bio": "On ferries."}).status == 303
    me = node.person(node.account())
    assert (me.name, me.bio) == ("Edda", "On ferries.")


def test_a_peer_is_remembered_and_a_wrong_address_explained(client: Client, node: Node) -> None:
    wrong = client.submit("/network", {"address": "192.0.2.7:4470"})
    assert wrong.status == 422
    assert wrong.page.all("p", role="alert")
    address = "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
    assert client.submit("/network", {"address": address}).status == 303
    assert address in client.get("/network").page.text
    assert "The network is off" in client.get("/network").page.text


def test_waiting_words_are_recalled(client: Client, homes) -> None:
    assert "words.txt" in client.get("/").page.text.replace("/ ", "/")


def test_what_the_node_does_not_have_is_a_page_that_says_so(client: Client, homes) -> None:
    for path in (f"/post/{homes[3].account}", f"/person/{homes[3].account}"):
        answer = client.get(path)
        assert answer.status == 404
        assert "Nothing here" in answer.page.text


def test_what_is_no_post_has_no_thread(client: Client, node: Node) -> None:
    profile = next(shown for shown in node.events(0, timeout_s=0) if shown.kind == "profile")
    assert client.get(f"/post/{profile.id}").status == 404
