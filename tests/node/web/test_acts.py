"""Acting on the page: edit, delete, quote, carry, like, mute; all plain forms, and each comes back to where it was."""

import pytest
from tests.node.web.client import Client
from tests.node.web.conftest import NOON_MS
from tests.node.web.fake import ME, FakeNode

from unhush.identity.cid import Cid
from unhush.node.views import Concern, QuoteRef, ReactionCount, ReplyRef, Tally


@pytest.fixture
def ines(node: FakeNode) -> Cid:
    return node.meet("ines", "Ines Lind")


def pressed(client: Client, path: str, act: str) -> str:
    """The ``aria-pressed`` of the first button for an act."""
    buttons = [attrs for attrs in client.get(path).page.all("button") if f"/{act}?" in attrs.get("formaction", "")]
    return buttons[0]["aria-pressed"] if buttons else ""


def test_a_post_is_liked_and_carried_and_that_is_undone(client: Client, node: FakeNode, ines: Cid) -> None:
    post = node.hears(ines, "One hut!")
    assert pressed(client, "/", "react") == pressed(client, "/", "repost") == "false"
    answer = client.submit(f"/post/{post.id}/react?at={post.aid}", {"emoji": "❤️", "back": "/"})
    assert (answer.status, answer.headers["Location"]) == (303, f"/#p-{post.aid}")
    assert pressed(client, "/", "unreact") == "true"
    client.submit(f"/post/{post.id}/repost", {"back": "/"})
    assert pressed(client, "/", "unrepost") == "true"
    client.submit(f"/post/{post.id}/unreact", {"emoji": "❤️"})
    client.submit(f"/post/{post.id}/unrepost", {})
    assert [call[0] for call in node.calls] == ["react", "repost", "unreact", "unrepost"]


@pytest.mark.parametrize(
    ("back", "onward"),
    [
        ("/", "/"),
        ("/activity?before=1-2-3", "/activity?before=1-2-3"),
        ("/tag?name=%23a+b", "/tag?name=%23a+b"),
        ("", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/" + "a" * 600, "/"),
    ],
)
def test_an_act_leads_back_to_a_page_of_ours_only(
    client: Client, node: FakeNode, ines: Cid, back: str, onward: str
) -> None:
    post = node.hears(ines, "One hut!")
    answer = client.submit(f"/post/{post.id}/react", {"emoji": "🌊", "back": back})
    assert (answer.status, answer.headers["Location"]) == (303, onward)


def test_no_act_is_done_without_the_token(client: Client, node: FakeNode) -> None:
    post = node.hears(ME, "mine")
    for act in ("react", "unreact", "repost", "unrepost", "edit", "delete", "quote"):
        assert client.submit(f"/post/{post.id}/{act}", {"token": "", "text": "x", "emoji": "🌊"}).status == 403
    for act in ("mute", "unmute", "block", "unblock"):
        assert client.submit(f"/person/{ME}/{act}", {"token": ""}).status in (403, 429)
    assert node.calls == []


def test_what_will_not_do_is_said_on_the_page_of_the_post(client: Client, node: FakeNode, ines: Cid) -> None:
    post, gone = node.hears(ines, "One hut!"), node.hears(ines, "", is_deleted=True)
    answer = client.submit(f"/post/{post.id}/react", {"emoji": "far too much for one emoji"})
    assert answer.status == 422
    assert "One hut!" in answer.page.text
    answer = client.submit(f"/post/{gone.id}/react", {"emoji": "🌊"})
    assert answer.status == 422
    assert "was deleted by its author" in answer.page.text
    assert not answer.page.all("textarea")


def test_counts_and_other_reactions_stand_beneath_a_post(client: Client, node: FakeNode, ines: Cid) -> None:
    reactions = (ReactionCount("🌊", 3, True), ReactionCount("<b>", 1, False))
    node.hears(ines, "One hut!", tally=Tally(2, 4, 1, reactions))
    answer = client.get("/")
    assert "🌊 3 for the post by Ines Lind" in answer.page.text
    assert "Reply 2" in answer.page.text
    assert "Carry 4" in answer.page.text
    assert 'value="&lt;b&gt;"' in answer.text
    assert "<bdi>&lt;b&gt;</bdi>" in answer.text


def test_a_post_of_ones_own_is_edited_and_its_versions_are_shown(client: Client, node: FakeNode) -> None:
    post = node.hears(ME, "first words", NOON_MS - 60_000)
    page = client.get(f"/post/{post.id}").page
    assert page.all("a", href=f"/post/{post.id}/edit")
    form = client.get(f"/post/{post.id}/edit")
    assert "\nfirst words" in form.text
    answer = client.submit(f"/post/{post.id}/edit", {"text": "better\r\nwords\r\n"})
    assert (answer.status, answer.headers["Location"]) == (303, f"/post/{post.id}")
    assert node.calls == [("edit", post.id, "better\nwords")]
    assert client.get("/").page.all("a", href=f"/post/{post.id}/history")
    text = client.get(f"/post/{post.id}/history").page.text
    assert text.index("first words") < text.index("better words")


def test_an_edit_that_will_not_do_comes_back_with_its_words(client: Client, node: FakeNode) -> None:
    post = node.hears(ME, "first words")
    answer = client.submit(f"/post/{post.id}/edit", {"text": "x" * 50_000})
    assert answer.status == 422
    assert "x" * 50_000 in answer.text
    assert client.submit(f"/post/{post.id}/edit", {"text": " "}).status == 422
    assert node.calls == []


def test_a_post_is_deleted_after_a_question(client: Client, node: FakeNode) -> None:
    post = node.hears(ME, "regretted")
    page = client.get(f"/post/{post.id}/delete").page
    assert "Delete this post?" in page.text
    assert "regretted" in page.text
    assert node.calls == []
    assert client.submit(f"/post/{post.id}/delete", {}).headers["Location"] == "/"
    assert node.calls == [("delete", post.id)]
    assert "Withdrawn by its author." in client.get(f"/post/{post.id}").page.text


def test_what_is_not_ones_own_is_neither_edited_nor_deleted(client: Client, node: FakeNode, ines: Cid) -> None:
    post = node.hears(ines, "One hut!")
    page = client.get(f"/post/{post.id}").page
    for act in ("edit", "delete"):
        assert not page.all("a", href=f"/post/{post.id}/{act}")
        assert client.get(f"/post/{post.id}/{act}").status == 404


def test_a_post_is_quoted_and_shown_beneath_the_quote(client: Client, node: FakeNode, ines: Cid) -> None:
    post = node.hears(ines, "One hut!")
    assert "One hut!" in client.get(f"/post/{post.id}/quote").page.text
    answer = client.submit(f"/post/{post.id}/quote", {"text": "look"})
    assert node.calls == [("quote", post.id, "look")]
    page = client.get(answer.headers["Location"]).page
    assert page.all("div", class_="quoted")
    assert "look" in page.text
    assert "One hut!" in page.text
    hidden = node.hears(ines, "the end", warning="Ending of a novel")
    node.hears(ME, "see", quote=QuoteRef(hidden.id, ines), quoted=hidden)
    text = client.get("/").page.text
    assert "Folded: Ending of a novel" in text


def test_a_carried_post_says_who_carried_it(client: Client, node: FakeNode, ines: Cid) -> None:
    jun = node.meet("jun", "Jun Adeyemi")
    post = node.hears(ines, "One hut!")
    node.hears(jun, "", kind="repost", reposted=post, target=post.id)
    node.hears(jun, "", kind="repost", target=jun)
    page = client.get("/").page
    assert page.text.count("One hut!") == 2
    assert "Jun Adeyemi carried this" in page.text
    assert "carried a post that is not on this device" in page.text


def test_a_thread_is_a_tree_with_its_gaps(client: Client, node: FakeNode, ines: Cid) -> None:
    root = node.hears(ines, "One hut!")
    first = node.hears(ines, "first", reply=ReplyRef(root.id, root.id, ines, ines))
    second = node.hears(ines, "second", reply=ReplyRef(root.id, root.id, ines, ines))
    below = node.hears(ines, "below first", reply=ReplyRef(root.id, first.id, ines, ines))
    node.hears(ines, "below a gap", reply=ReplyRef(root.id, ines, ines, ines))
    page = client.get(f"/post/{root.id}").page
    order = [attrs["id"] for attrs in page.all("article")]
    assert order[:4] == [f"p-{one.aid}" for one in (root, first, below, second)]
    assert [attrs["class"] for attrs in page.all("article", id=f"p-{below.aid}")] == ["post d2"]
    assert "A post between is not on this device." in page.text


def test_what_somebody_blocked_wrote_is_folded(client: Client, node: FakeNode, ines: Cid) -> None:
    node.hears(ines, "One hut!", shun="blocked")
    page = client.get("/").page
    assert page.all("details", class_="cw")
    assert "By somebody you blocked" in page.text


def test_activity_tells_who_did_what(client: Client, node: FakeNode, ines: Cid) -> None:
    assert "Nothing yet" in client.get("/activity").page.text
    mine = node.hears(ME, "Low tide.")
    answer = node.hears(ines, "Dry feet?", reply=ReplyRef(mine.id, mine.id, ME, ME))
    node.concerns = [
        Concern(node.hears(ines, "", kind="follow"), ("follow",), None),
        Concern(node.hears(ines, "", kind="react", emoji="🌊", target=mine.id), ("reaction",), mine),
        Concern(node.hears(ines, "", kind="repost", target=mine.id), ("repost",), mine),
        Concern(answer, ("reply",), mine),
    ] + [Concern(node.hears(ines, f"@edda {number}"), ("mention",), None) for number in range(40)]
    text = client.get("/activity").page.text
    for said in ("follows you", "reacted 🌊", "carried your post", "Low tide.", "answers your post", "Dry feet?"):
        assert said in text
    older = next(attrs["href"] for attrs in client.get("/activity").page.all("a") if "before=" in attrs["href"])
    assert "mentions you" in client.get(older).page.text


def test_tags_lead_to_their_posts(client: Client, node: FakeNode, ines: Cid) -> None:
    for tag in ("tide", "a/b?c&d", "日本語"):
        node.hears(ines, f"about {tag}", tags=(tag,))
    links = [attrs["href"] for attrs in client.get("/").page.all("a") if attrs["href"].startswith("/tag")]
    assert len(links) == 3
    for link in links:
        assert len(client.get(link).page.all("article")) == 1
    assert "No post on this device bears this tag." in client.get("/tag").page.text


def test_people_are_muted_and_blocked_and_it_is_ended(client: Client, node: FakeNode, ines: Cid) -> None:
    for act in ("mute", "block"):
        assert client.submit(f"/person/{ines}/{act}", {}).headers["Location"] == f"/person/{ines}"
    page = client.get(f"/person/{ines}").page
    assert "You blocked this account" in page.text
    assert "Muted or blocked" in client.get("/people").page.text
    for act in ("unmute", "unblock"):
        assert page.all("form", action=f"/person/{ines}/{act}")
        client.submit(f"/person/{ines}/{act}", {})
    assert [call[0] for call in node.calls] == ["mute", "block", "unmute", "unblock"]
    assert "Muted or blocked" not in client.get("/people").page.text


def test_who_follows_whom_is_told_page_by_page(client: Client, node: FakeNode, ines: Cid) -> None:
    for number in range(120):
        node.meet(f"fan {number}", f"Fan {number}")
    for which in ("followers", "follows"):
        page = client.get(f"/person/{ines}/{which}").page
        more = next(attrs["href"] for attrs in page.all("a") if "after=" in attrs["href"])
        rest = client.get(more).page
        assert len(page.all("li", class_="person")) + len(rest.all("li", class_="person")) == 122
