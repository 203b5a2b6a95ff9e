"""What a person can do on the page, form by form, without any script."""

import gzip
from dataclasses import replace
from html import escape

import pytest
from tests.node.web.client import Client
from tests.node.web.conftest import NOON_MS
from tests.node.web.fake import ME, FakeNode

from unhush.identity.cid import cid_of
from unhush.node.views import Concern, PeerInfo, QuoteRef, ReplyRef
from unhush.node.web.look import MAX_POST_BYTES
from unhush.node.web.pages import MAX_REPLIES, PAGE_POSTS

STRANGER = cid_of(b"stranger")


def test_a_post_is_published_and_stands_on_top(client: Client, node: FakeNode) -> None:
    node.hears(node.meet("ines", "Ines Lind"), "Low tide.", NOON_MS - 60_000)
    answer = client.submit("/write", {"text": "First line\r\nsecond line\r\n\r\n"})
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert node.calls == [("post", "First line\nsecond line")]
    text = client.get("/").page.text
    assert text.index("First line second line") < text.index("Low tide.")


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "nothing to publish"), (" \r\n\t", "nothing to publish"), ("é" * 24_577, f"holds {MAX_POST_BYTES:,}")],
)
def test_a_post_that_will_not_do_comes_back_with_its_words(client: Client, node: FakeNode, text: str, why: str) -> None:
    answer = client.submit("/write", {"text": text})
    assert answer.status == 422
    assert why in answer.page.text
    assert f"\n{text.strip()}" in answer.text
    assert node.calls == []


def test_the_longest_post_is_taken(client: Client, node: FakeNode) -> None:
    assert client.submit("/write", {"text": "é" * 24_576}).status == 303
    assert len(node.calls) == 1


def test_words_typed_into_a_page_whose_session_is_over_are_handed_back(client: Client, node: FakeNode) -> None:
    client.submit("/leave", {})
    answer = client.submit("/write", {"text": "half an hour of <work>"})
    assert answer.status == 403
    assert "half an hour of &lt;work&gt;" in answer.text
    assert node.calls == []


def test_the_timeline_goes_back_page_by_page(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    for number in range(2 * PAGE_POSTS + 5):
        node.hears(ines, f"post number {number}.", NOON_MS - number * 1000)
    seen: list[str] = []
    path = "/"
    while path:
        page = client.get(path).page
        seen += [attrs["id"] for attrs in page.all("article")]
        path = next((attrs["href"] for attrs in page.all("a") if "before=" in attrs.get("href", "")), "")
    assert len(seen) == len(set(seen)) == 2 * PAGE_POSTS + 5


def test_an_empty_timeline_says_what_to_do_next(client: Client) -> None:
    page = client.get("/").page
    assert "It is quiet here." in page.text
    assert page.all("form", action="/people")
    assert page.all("a", href="/network", class_="btn")


def test_whom_to_follow_is_said_until_somebody_is(client: Client, node: FakeNode) -> None:
    client.submit("/write", {"text": "Is anybody there?"})
    assert "Follow somebody" in client.get("/").page.text
    node.meet("ines", "Ines Lind")
    assert "Follow somebody" not in client.get("/").page.text


def test_an_account_is_followed_by_its_id(client: Client, node: FakeNode) -> None:
    answer = client.submit("/people", {"account": f" {STRANGER}\n", "petname": " the  stranger "})
    assert (answer.status, answer.headers["Location"]) == (303, f"/person/{STRANGER}")
    assert node.calls == [("follow", STRANGER, "the stranger")]
    assert "the stranger" in client.get("/people").page.text


@pytest.mark.parametrize("typed", ["", "mara", "b" * 59, str(STRANGER).upper(), str(ME)])
@pytest.mark.parametrize("origin", ["home", "people"])
def test_what_is_no_account_to_follow_comes_back_as_typed(
    client: Client, node: FakeNode, typed: str, origin: str
) -> None:
    answer = client.submit("/people", {"account": typed, "from": origin})
    assert answer.status == 422
    assert answer.page.all("input", name="account")[0]["value"] == typed
    assert answer.page.all("p", role="alert")
    assert node.calls == []


def test_follow_and_unfollow_on_a_persons_page(client: Client, node: FakeNode) -> None:
    account = node.meet("ines", "Ines Lind", followed=False, bio="Tides.\nCables.")
    assert "Tides.\nCables." in client.get(f"/person/{account}").text
    client.submit(f"/person/{account}/follow", {})
    assert "followed by you" in client.get(f"/person/{account}").page.text
    client.submit(f"/person/{account}/unfollow", {})
    assert "followed by you" not in client.get(f"/person/{account}").page.text
    assert [call[0] for call in node.calls] == ["follow", "unfollow"]


def test_a_petname_is_given_changed_and_taken_back(client: Client, node: FakeNode) -> None:
    account = node.meet("ines", "Ines Lind")
    for petname in ("ines", ""):
        assert client.submit(f"/person/{account}/follow", {"petname": f" {petname} "}).status == 303
    assert client.submit(f"/person/{account}/follow", {"petname": "x" * 61}).status == 422
    assert node.calls == [("follow", account, "ines"), ("follow", account, "")]


def test_a_thread_shows_who_answers_whom_and_takes_a_reply(client: Client, node: FakeNode) -> None:
    ines, jun = node.meet("ines", "Ines Lind"), node.meet("jun", "Jun Adeyemi")
    root = node.hears(ines, "One hut!")
    first = node.hears(jun, "I sat on it.", reply=ReplyRef(root.id, root.id, ines, ines))
    node.hears(ines, "Of course you did.", reply=ReplyRef(root.id, first.id, ines, jun))
    page = client.get(f"/post/{first.id}").page
    assert "3 posts" not in page.text
    assert "2 replies on this device" in page.text
    assert page.text.index("One hut!") < page.text.index("I sat on it.") < page.text.index("Of course you did.")
    assert "in reply to Jun Adeyemi" in page.text
    assert page.all("form", action=f"/post/{first.id}/reply")
    answer = client.submit(f"/post/{first.id}/reply", {"text": "So did I."})
    assert node.calls == [("reply", first.id, "So did I.")]
    assert "So did I." in client.get(answer.headers["Location"]).page.text


def test_a_reply_that_will_not_do_comes_back_with_its_words(client: Client, node: FakeNode) -> None:
    root = node.hears(node.meet("ines", "Ines Lind"), "One hut!")
    answer = client.submit(f"/post/{root.id}/reply", {"text": "x" * (MAX_POST_BYTES + 1)})
    assert answer.status == 422
    assert "x" * (MAX_POST_BYTES + 1) in answer.text
    assert "One hut!" in answer.page.text


def test_a_thread_without_its_beginning_says_so(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    reply = node.hears(ines, "Of course.", reply=ReplyRef(STRANGER, STRANGER, ines, ines))
    text = client.get(f"/post/{reply.id}").page.text
    assert "is not on this device" in text
    assert "Of course." in text


def test_a_thread_of_very_many_says_what_it_leaves_off(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    root = node.hears(ines, "One hut!")
    for number in range(MAX_REPLIES + 7):
        node.hears(ines, f"{number}", reply=ReplyRef(root.id, root.id, ines, ines))
    assert "the last 7 are not shown" in client.get(f"/post/{root.id}").page.text


def test_a_stranger_with_a_known_name_is_marked(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    root = node.hears(ines, "One hut!")
    false = node.meet("false", "Ιnes Lind", followed=False)
    node.hears(false, "Send me your words.", reply=ReplyRef(root.id, root.id, ines, ines))
    mark = "Looks like Ines Lind , whom you know, but is another account."
    assert client.get(f"/post/{root.id}").page.text.count(mark) == 1
    assert mark in client.get(f"/person/{false}").page.text
    assert mark not in client.get(f"/person/{ines}").page.text


def test_a_warning_hides_the_words_until_asked(client: Client, node: FakeNode) -> None:
    node.hears(node.meet("wren", "Tomasz"), "The keeper did it.", warning="Ending of a novel")
    page = client.get("/").page
    assert page.all("details", class_="cw")
    assert "open" not in page.all("details", class_="cw")[0]
    assert "Ending of a novel" in page.text


def test_withdrawn_and_missing_words_are_said_to_be(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.hears(ines, "", is_deleted=True)
    node.hears(ines, "", has_body=False)
    text = client.get("/").page.text
    assert "Withdrawn by its author." in text
    assert "not on this device yet" in text


def test_what_is_not_in_force_is_said_to_be_and_its_words_are_not_shown(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    void = node.hears(ines, "", standing="void")
    node.hears(ines, "", standing="unproven")
    node.hears(ines, "two of these", standing="contested")
    text = client.get("/").page.text
    assert "the account cut off the device" in text
    assert "what proves that this is in force has not arrived" in text
    assert "Contested" in text
    assert f'href="/post/{void.id}#compose"' not in text


def test_alarms_of_a_person_and_of_the_own_account_are_shown(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.people[ines] = replace(node.people[ines], alarms=("twice",), contested=2, unproven=3, cut_devices=1)
    node.problem = "this home is an older copy; get a new key with: unhush device renew"
    text = client.get(f"/person/{ines}").page.text
    assert "two device tables were signed for one generation" in text
    assert "2 records are contested" in text
    assert "unhush device renew" in text
    assert "not shown until proven" in text


def test_an_article_has_its_title_and_a_long_post_its_rest_on_its_own_page(client: Client, node: FakeNode) -> None:
    shown = node.hears(node.meet("mara", "Mara"), "word " * 1_000 + "the end", title="How to lose a laptop")
    listed, whole = client.get("/").page, client.get(f"/post/{shown.id}").page
    assert "How to lose a laptop" in listed.text
    assert "the end" not in listed.text
    assert "Read on" in listed.text
    assert "the end" in whole.text


def test_language_is_named_only_when_it_is_one(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.hears(ines, "Ebbe ved kabelstasjonen", lang="nb-NO")
    node.hears(ines, "x", lang='en" onfocus=alert(1)')
    assert [attrs.get("lang") for attrs in client.get("/").page.all("div", class_="body")].count("nb-NO") == 1
    assert "onfocus" not in client.get("/").text


def test_the_network_page_shows_what_is_and_takes_an_address(client: Client, node: FakeNode) -> None:
    assert "no address to try" in client.get("/network").page.text
    node.addresses = [
        PeerInfo("/ip4/192.0.2.7/tcp/4470", "12D3KooW1", True, True),
        PeerInfo("/ip4/192.0.2.8/tcp/4470", None, False, False),
    ]  # fmt: skip
    ines = node.meet("ines", "Ines <Lind>")
    text = client.get("/network").page.text
    assert "1 peer connected; 1 more remembered" in text
    assert "they did" in text
    assert "Ines" not in text, "no card says whose machine it is"
    node.machines = {"12D3KooW1": (ines,)}
    page = client.get("/network").page
    assert "Ines <Lind>" in page.text
    assert page.all("a", href=f"/person/{ines}")
    assert page.text.count("not known") == text.count("not known") - 1
    assert client.submit("/network", {"address": " /ip4/192.0.2.9/tcp/4470 "}).status == 303
    assert node.calls == [("add_peer", "/ip4/192.0.2.9/tcp/4470")]


@pytest.mark.parametrize("address", ["", "192.0.2.9:4470"])
def test_an_address_that_will_not_do_comes_back_with_the_reason(client: Client, node: FakeNode, address: str) -> None:
    answer = client.submit("/network", {"address": address})
    assert answer.status == 422
    assert answer.page.all("input", name="address")[0]["value"] == address
    assert answer.page.all("p", role="alert")


def test_a_profile_is_edited(client: Client, node: FakeNode) -> None:
    assert client.submit("/profile", {"name": " Edda ", "bio": "On\r\nferries."}).status == 303
    assert node.calls == [("set_profile", "Edda", "On\nferries.")]
    assert client.get("/profile").page.all("input", name="name")[0]["value"] == "Edda"


@pytest.mark.parametrize(("name", "bio"), [(" ", "kept"), ("x" * 201, "kept"), ("Edda", "y" * 5_001)])
def test_a_profile_that_will_not_do_comes_back_as_typed(client: Client, node: FakeNode, name: str, bio: str) -> None:
    answer = client.submit("/profile", {"name": name, "bio": bio})
    assert answer.status == 422
    assert answer.page.all("input", name="name")[0]["value"] == name
    assert bio in answer.text
    assert node.calls == []


def test_waiting_words_are_recalled_on_every_page(client: Client, node: FakeNode) -> None:
    assert "recovery words" not in client.get("/").page.text
    node.words_waiting = "/home/edda/<words>.txt"
    for path in ("/", "/people", "/network", "/nothing"):
        answer = client.get(path)
        assert "recovery words" in answer.page.text
        assert "&lt;words&gt;.txt" in answer.text


def test_an_unknown_address_has_a_page_in_the_look(client: Client) -> None:
    for path in ("/nothing", f"/post/{STRANGER}", f"/person/{STRANGER}", "/post/x", "/sigil/x.svg"):
        answer = client.get(path)
        assert answer.status == 404
        assert "Nothing here" in answer.page.text
        assert answer.page.all("nav")


def test_no_link_and_no_form_of_any_page_leads_nowhere(client: Client, node: FakeNode) -> None:
    """Walk the whole page from home, by every link; each form's address must be a route that takes forms."""
    ines = node.meet("ines", "Ines Lind")
    root = node.hears(ines, "One hut!", title="A hut")
    node.hears(ines, "again " * 1_000, reply=ReplyRef(root.id, root.id, ines, ines), tags=("a/b c",))
    mine = node.hears(ME, "mine")
    node.edit(mine.id, "mine, again")
    node.hears(ines, "", kind="repost", reposted=node.show(mine.id), target=mine.id)
    node.hears(ines, "look", quote=QuoteRef(root.id, ines), quoted=root)
    node.concerns = [Concern(node.hears(ines, "", kind="react", emoji="🌊"), ("reaction",), mine)]
    node.people[ines] = replace(node.people[ines], is_muted=True)
    node.lists.create("by the sea & more")
    node.lists.add("by the sea & more", ines)
    todo, seen, forms, buttons = ["/"], set(), set(), set()
    while todo:
        path = todo.pop().partition("#")[0] or "/"
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        assert answer.status == 200, path
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        page = answer.page
        forms |= {attrs["action"] for attrs in page.all("form", method="post")}
        buttons |= {attrs["formaction"] for attrs in page.all("button") if "formaction" in attrs}
        for _, attrs in page.tags:
            todo += [attrs[name] for name in ("href", "src") if attrs.get(name, "").startswith("/")]
            if attrs.get("href", "").startswith("#"):
                assert attrs["href"][1:] in {one.get("id") for _, one in page.tags}, (path, attrs)
    assert len(seen) > 15
    assert {client.request("POST", form, "").status for form in forms} == {415}
    assert forms >= {"/leave", "/lists", "/list/add", "/list/remove", "/list/drop"}
    assert {client.submit(button, {"emoji": "🌊", "back": "/"}).status for button in buttons} == {303}
    assert {button.partition("?")[0].rpartition("/")[2] for button in buttons} >= {"react", "repost"}


def test_ids_are_unique_and_every_field_has_a_label(client: Client, node: FakeNode) -> None:
    root = node.hears(node.meet("ines", "Ines Lind"), "One hut!")
    mine = node.hears(ME, "mine")
    node.hears(ME, "", kind="repost", reposted=root, target=root.id)
    node.lists.create("mine")
    node.lists.add("mine", ME)
    for path in (
        "/", "/write", "/people", "/network", "/profile", "/activity", "/tag?name=x", f"/post/{root.id}",
        f"/post/{mine.id}", f"/post/{mine.id}/edit", f"/post/{mine.id}/delete", f"/post/{mine.id}/quote",
        f"/post/{mine.id}/history", f"/person/{ME}/followers", "/lists", "/list?name=mine", "/invites",
    ):  # fmt: skip
        page = client.get(path).page
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        labelled = {attrs["for"] for attrs in page.all("label") if "for" in attrs}
        fields = [
            attrs for tag, attrs in page.tags
            if tag in ("input", "textarea") and attrs.get("type") not in ("hidden", "checkbox")
        ]  # fmt: skip
        assert {attrs["id"] for attrs in fields} <= labelled, path


def test_a_page_has_no_inline_style_or_script_and_weighs_little(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    for number in range(PAGE_POSTS):
        node.hears(ines, f"A post of ordinary length, number {number}; most are about as long as this one.")
    answer = client.get("/")
    page = answer.page
    assert not page.all("style")
    assert not [attrs for _, attrs in page.tags if "style" in attrs]
    assert [attrs["src"] for attrs in page.all("script")] == [page.all("script")[0]["src"]]
    parts = {
        attrs[name].partition("#")[0]
        for _, attrs in page.tags
        for name in ("href", "src")
        if attrs.get(name, "").startswith(("/static/", "/portrait/"))
    }
    sizes = {path: int(client.get(path, {"Accept-Encoding": "gzip"}).headers["Content-Length"]) for path in parts}
    assert len(sizes) == 6  # sheet, script, icons, mark, two portraits
    assert len(answer.text.encode()) + sum(sizes.values()) < 75_000


def test_the_style_sheet_comes_zipped_to_whoever_takes_it(client: Client) -> None:
    sheet = client.get("/").page.all("link", rel="stylesheet")[0]["href"]
    zipped = client.get(sheet, {"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.body).decode() == client.get(sheet).text
    assert "immutable" in zipped.headers["Cache-Control"]


def test_errors_of_the_node_are_said_in_its_words(
    client: Client, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str) -> None:
        raise type("StoreFull", (Exception,), {})

    monkeypatch.setattr(node, "post", refuse)
    answer = client.submit("/write", {"text": "x"})
    assert answer.status == 500
    assert "Something went wrong here" in answer.text
    assert "StoreFull" not in answer.text


def test_names_are_isolated_from_the_line_they_stand_in(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines \u202eLind")
    node.hears(ines, "x")
    text = client.get("/").text
    assert "<bdi>Ines Lind</bdi>" in text
    assert "\u202e" not in text


def test_somebody_without_a_name_is_still_somebody(client: Client, node: FakeNode) -> None:
    account = node.meet("nameless", "")
    node.hears(account, "x")
    assert f"someone …{str(account)[-6:]}" in client.get("/").page.text
    node.people[account] = replace(node.people[account], petname="the baker")
    assert "the baker" in client.get("/people").page.text
    assert escape("the baker") in client.get(f"/person/{account}").text
