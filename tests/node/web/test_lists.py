"""Lists of people on the page: made, read, changed and forgotten by plain forms."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.node.web.client import Client
from tests.node.web.fake import ME, FakeNode

from unhush.identity.cid import cid_of
from unhush.node import Config, Node, found_account
from unhush.node.web import WebServer
from unhush.node.web.pages import PAGE_POSTS

SEA = "by the sea & <b>"
SEA_PATH = f"/list?name={quote(SEA, safe='')}"


def test_a_list_is_made_filled_read_and_forgotten(client: Client, node: FakeNode) -> None:
    ines, otto = node.meet("ines", "Ines Lind"), node.meet("otto", "Otto", petname="o")
    node.hears(ines, "One hut!")
    node.hears(otto, "Two huts!")
    assert client.get("/people").page.all("a", href="/lists")

    answer = client.submit("/lists", {"name": f"  {SEA}\t"})
    assert (answer.status, answer.headers["Location"]) == (303, SEA_PATH)
    assert "by anybody on this list" in client.get(SEA_PATH).page.text
    assert client.submit("/list/add", {"name": SEA, "who": " Ines Lind "}).headers["Location"] == SEA_PATH
    assert client.submit("/list/add", {"name": SEA, "who": str(otto)}).status == 303
    assert "<b>" not in client.get(SEA_PATH).text.partition("<main")[2].partition("posted")[0]

    page = client.get(SEA_PATH).page
    assert "What 2 people on this list posted" in page.text
    assert page.text.index("Two huts!") < page.text.index("One hut!")
    assert [attrs["value"] for attrs in page.all("input", name="who", type="hidden")] == [str(ines), str(otto)]
    assert client.get("/lists").page.all("a", href=SEA_PATH)

    assert client.submit("/list/remove", {"name": SEA, "who": str(otto)}).status == 303
    assert "Two huts!" not in client.get(SEA_PATH).page.text
    assert client.submit("/list/drop", {"name": SEA}).headers["Location"] == "/lists"
    assert (client.get(SEA_PATH).status, node.lists.held) == (404, {})


def test_a_list_goes_back_page_by_page(client: Client, node: FakeNode) -> None:
    node.lists.create(SEA)
    node.lists.add(SEA, ME)
    for number in range(PAGE_POSTS + 1):
        node.hears(ME, f"post number {number}.")
    (older,) = [attrs["href"] for attrs in client.get(SEA_PATH).page.all("a") if "before=" in attrs.get("href", "")]
    text = client.get(older).page.text
    assert "post number 0." in text
    assert "post number 1." not in text
    assert "further back" in text


@pytest.mark.parametrize("name", ["", " \n", "two\x00parts"])
def test_a_name_that_will_not_do_comes_back(client: Client, node: FakeNode, name: str) -> None:
    answer = client.submit("/lists", {"name": name})
    assert answer.status == 422
    assert answer.page.all("p", role="alert")
    assert node.lists.held == {}


@pytest.mark.parametrize("who", ["", "nobody", "<script>", "bafyrei"])
def test_somebody_who_is_nobody_comes_back_as_typed(client: Client, node: FakeNode, who: str) -> None:
    node.lists.create(SEA)
    answer = client.submit("/list/add", {"name": SEA, "who": who})
    assert answer.status == 422
    assert answer.page.all("p", role="alert")
    assert answer.page.all("input", id="who")[0]["value"] == who
    assert node.lists.held == {SEA: []}


def test_what_is_not_there_is_not_found(client: Client, node: FakeNode) -> None:
    node.lists.create(SEA)
    for path in ("/list", "/list?name=none", "/list?name=" + "x" * 5_000):
        assert client.get(path).status == 404
    assert client.submit("/list/add", {"name": "none", "who": str(ME)}).status == 404
    assert client.submit("/list/remove", {"name": SEA, "who": str(cid_of(b"somebody"))}).status == 404
    assert client.submit("/list/drop", {"name": "none"}).status == 404


def test_no_list_is_changed_without_the_token(client: Client, node: FakeNode) -> None:
    node.lists.create(SEA)
    node.lists.add(SEA, ME)
    ines = node.meet("ines", "Ines Lind")
    for act, who in (("add", ines), ("remove", ME), ("drop", ME)):
        assert client.submit(f"/list/{act}", {"token": "", "name": SEA, "who": str(who)}).status == 403
    assert client.submit("/lists", {"token": "wrong", "name": "another"}).status == 403
    assert node.lists.held == {SEA: [ME]}


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Client, Node]]:
    found_account(Config(tmp_path / "edda"), "Edda Sol")
    with Node(Config(tmp_path / "edda")) as node, WebServer(node) as server:
        client = Client(server)
        assert client.enter().status == 200
        yield client, node


def test_lists_of_a_real_node_are_the_ones_of_the_command_line(real: tuple[Client, Node]) -> None:
    client, node = real
    node.post("Low tide.")
    assert client.submit("/lists", {"name": SEA}).status == 303
    assert client.submit("/list/add", {"name": SEA, "who": str(node.account())}).status == 303
    assert "Low tide." in client.get(SEA_PATH).page.text
    assert [person.account for person in node.lists.members(SEA)] == [node.account()]
    assert client.submit("/lists", {"name": "é" * 51}).status == 422
    assert client.submit("/list/add", {"name": SEA, "who": "nobody"}).status == 422
    assert client.submit("/list/add", {"name": SEA, "who": str(node.timeline().items[0].id)}).status == 422
    assert client.get(f"{SEA_PATH}&before=x").status == 404
    assert client.submit("/list/remove", {"name": SEA, "who": str(node.account())}).status == 303
    assert client.submit("/list/drop", {"name": SEA}).status == 303
    assert node.lists.all() == ()
