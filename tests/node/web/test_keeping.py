"""Keeping on the page: what stands beside a post, who keeps me, what I keep, and the plain forms for all of it."""

from dataclasses import replace

import pytest
from tests.node.web.client import Client
from tests.node.web.conftest import NOON_MS
from tests.node.web.fake import ME, PEER, FakeNode

from unhush.gossip.proto.invites import Invite, encode_invite
from unhush.identity.cid import Cid, cid_of
from unhush.node.names import short_id
from unhush.node.views import KeeperInfo, KeepingOffer, KeptBy, KeptSummary, NotGiven
from unhush.node.web.keeping import MAX_ARCS, draw_ring

HOSTILE = "<script>alert(1)</script>"
STRANGER = cid_of(b"stranger")
HOUR_MS = 3_600_000


def keeper(account: Cid, name: str = "Mara", **changes: object) -> KeeperInfo:
    """One that counts, unless told otherwise."""
    info = KeeperInfo(
        account, name, is_accepted=True, is_followed=True, receipt_ms=NOON_MS - HOUR_MS, until_ms=NOON_MS + HOUR_MS,
        covers=12, records=14, is_proven=True, proven_ms=NOON_MS - HOUR_MS // 2,
    )  # fmt: skip
    return replace(info, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("kept_by", "words"),
    [
        (KeptBy(2, 1), "kept by 2, and 1 unproven"),
        (KeptBy(2), "kept by 2"),
        (KeptBy(0, 1), "kept by nobody proven, and 1 unproven"),
        (KeptBy(), "kept by nobody yet"),
        (KeptBy(on_this_device_only=True), "on this device only"),
    ],
)
def test_beside_an_own_post_stands_who_keeps_it(client: Client, node: FakeNode, kept_by: KeptBy, words: str) -> None:
    shown = node.hears(ME, "Low tide.", kept_by=kept_by)
    for path in ("/", f"/post/{shown.id}", f"/person/{ME}"):
        page = client.get(path).page
        assert f"{words} : your post." in page.text
        assert page.all("a", href="/kept", class_="kept")
        assert bool(page.all("circle", class_="lit")) == bool(kept_by.proven)


def test_of_others_only_what_is_kept_is_said(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines")
    node.hears(ines, "Nobody keeps this.", kept_by=KeptBy())
    assert "kept by" not in client.get("/").page.text
    node.hears(ines, "Somebody does.", kept_by=KeptBy(1))
    assert "kept by 1" in client.get("/").page.text


def test_what_a_keeper_does_without_is_named_on_the_page_and_in_place_of_the_words(
    client: Client, node: FakeNode
) -> None:
    mara = node.meet("mara", "Mara")
    gone = NotGiven(cid_of(b"gone"), f"a court {HOSTILE}", mara, "Mara")
    node.keeping = {mara: keeper(mara, withheld=(gone,))}
    kept = client.get("/kept").page
    assert "Withholds 1 of your records" in kept.text
    assert f"a court {HOSTILE}" in kept.text  # as text
    shown = node.hears(mara, "", has_body=False, withheld=gone)
    assert "Withheld by Mara : a court" in client.get(f"/post/{shown.id}").page.text
    here = node.hears(mara, "", has_body=False, withheld=replace(gone, is_here=True))
    assert "Withheld here: a court" in client.get(f"/post/{here.id}").page.text


def test_who_keeps_me_is_listed_with_what_it_showed(client: Client, node: FakeNode) -> None:
    mara, otto = node.meet("mara", "Mara"), node.meet("otto", HOSTILE)
    node.keeping = {
        mara: keeper(mara),
        otto: keeper(otto, HOSTILE, is_proven=False, proven_ms=None, is_accepted=False, why=f"it is {HOSTILE}"),
    }
    node.summary = KeptSummary(records=14, by_one=12, by_two=0, least=0, keepers=1)
    answer = client.get("/kept")
    text = answer.page.text
    assert "<script>alert" not in answer.text
    assert "Kept by 1" in text
    assert "Of your 14 records, 12 are held by a proven keeper and 0 by two or more." in text
    assert "covers 12 of 14 records" in text
    assert "You did not ask for it." in text
    assert len(answer.page.all("circle", class_="fresh")) == len(answer.page.all("circle", class_="stale")) == 1


def test_without_a_keeper_the_page_says_so(client: Client, node: FakeNode) -> None:
    node.summary = KeptSummary(records=3)
    page = client.get("/kept").page
    assert "Kept by 0" in page.text
    assert "No keeper has shown yet" in page.text
    assert "Nobody was asked yet" in page.text
    assert page.all("circle", class_="none")


def test_a_ring_of_very_many_has_a_bound() -> None:
    many = tuple(keeper(cid_of(b"%d" % number)) for number in range(40))
    assert draw_ring(many).count("<circle") == MAX_ARCS


def test_somebody_is_asked_and_the_request_taken_back(client: Client, node: FakeNode) -> None:
    mara = node.meet("mara", "Mara Vesterdal", petname="mara")
    assert client.submit("/kept/ask", {"who": " mara "}).headers["Location"] == "/kept"
    page = client.get("/kept").page
    assert "it has signed no receipt yet" in page.text
    assert client.submit("/kept/withdraw", {"who": str(mara)}).status == 303
    assert node.calls == [("offer_keeping", mara), ("withdraw_keeping", mara)]
    assert client.submit("/kept/withdraw", {"who": str(mara)}).status == 422


def test_an_offer_is_accepted_with_room_and_stopped_again(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.offers = [KeepingOffer(ines, "Ines Lind", NOON_MS, is_kept=False)]
    page = client.get("/kept").page
    assert "Asked of you" in page.text
    assert page.all("a", href=f"/kept/accept/{ines}")
    step = client.get(f"/kept/accept/{ines}").page
    assert [each["value"] for each in step.all("option")] == ["none", "90d", "all"]
    assert "Ines Lind" in step.text
    assert f"…{short_id(ines)}" in step.text
    assert client.submit("/kept/accept", {"who": str(ines), "budget": "500 MiB", "media": "90d"}).status == 303
    assert node.calls == [("keep", ines, 500 * 2**20, "90d")]
    text = client.get("/kept").page.text
    assert "Asked of you" not in text
    assert "0 B of 500 MiB, 0 records, pictures of the last 90 days" in text
    assert client.submit("/kept/stop", {"who": str(ines)}).status == 303
    assert node.calls[-1] == ("unkeep", ines)


def test_nothing_is_stopped_taken_back_or_accepted_by_one_click(client: Client, node: FakeNode) -> None:
    ines, otto = (node.meet(name, HOSTILE, followed=False) for name in ("ines", "otto"))
    mara = node.meet("mara", "Mara")
    node.keep(ines, "1GiB", "none")
    node.keeping = {mara: keeper(mara), otto: keeper(otto, HOSTILE, is_accepted=False, is_followed=False)}
    node.calls.clear()
    page = client.get("/kept").page
    for act, account, means, who in (
        ("stop", ines, "keeps this account no more", "whom you do not follow"),
        ("withdraw", mara, "you ask it no more", "whom you follow"),
        ("ask", otto, "It takes no room here", "whom you do not follow"),
    ):
        assert page.all("a", href=f"/kept/{act}/{account}")
        assert not page.all("form", action=f"/kept/{act}") or act == "ask"  # which is also the form to ask by name
        answer = client.get(f"/kept/{act}/{account}")
        assert "<script>alert" not in answer.text
        assert means in answer.page.text
        assert who in answer.page.text
        assert short_id(account) in answer.page.text
        assert [each["value"] for each in answer.page.all("input", name="who")] == [str(account)]
    assert node.calls == []


def test_a_step_says_what_is_promised_already_and_what_was_wrong(client: Client, node: FakeNode) -> None:
    ines, ben = node.meet("ines", "Ines"), node.meet("ben", "Ben")
    node.keep(ben, "3GiB", "none")
    node.offers = [KeepingOffer(ines, "Ines", NOON_MS, is_kept=False)]
    assert "You keep 1 account so far and promised 3 GiB for it" in client.get(f"/kept/accept/{ines}").page.text
    answer = client.submit("/kept/accept", {"who": str(ines), "budget": "twelve", "media": "all"})
    assert answer.status == 422
    assert answer.page.all("input", name="budget", value="twelve")
    assert "Keep this account?" in answer.page.text
    assert ines not in node.promised


@pytest.mark.parametrize("act", ["ask", "withdraw", "accept", "stop"])
def test_a_step_about_somebody_else_is_not_found(client: Client, node: FakeNode, act: str) -> None:
    assert client.get(f"/kept/{act}/{STRANGER}").status == 404
    assert client.get(f"/kept/{act}/nobody").status == 404


def test_what_went_wrong_with_a_promise_is_said(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.keep(ines, "1MiB", "none")
    node.promised[ines] = replace(node.promised[ines], used_bytes=2**20, problem="its budget of 1 MiB is full")
    for path in ("/kept", f"/person/{ines}"):
        assert "Its budget of 1 MiB is full." in client.get(path).page.text


def test_an_account_is_kept_from_the_page_of_its_person(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    assert client.get(f"/person/{ines}").page.all("form", action=f"/person/{ines}/keep")
    assert not client.get(f"/person/{ME}").page.all("form", action=f"/person/{ME}/keep")
    answer = client.submit(f"/person/{ines}/keep", {"budget": "1.5GiB", "media": "all"})
    assert (answer.status, answer.headers["Location"]) == (303, f"/person/{ines}")
    page = client.get(f"/person/{ines}").page
    assert "0 B of 1.5 GiB, all pictures" in page.text
    assert "kept here for everyone" in page.text
    assert page.all("a", href=f"/kept/stop/{ines}")
    assert client.submit("/kept/stop", {"who": str(ines)}).status == 303
    assert [call[0] for call in node.calls] == ["keep", "unkeep"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/kept/ask", {"who": ""}),
        ("/kept/ask", {"who": "nobody"}),
        ("/kept/ask", {"who": HOSTILE}),
        ("/kept/withdraw", {"who": HOSTILE}),
        ("/kept/accept", {"who": str(STRANGER), "budget": "1GiB", "media": "none"}),
        ("/kept/stop", {"who": str(STRANGER)}),
        ("/kept/stop", {}),
        (f"/person/{ME}/keep", {"budget": HOSTILE, "media": "none"}),
        (f"/person/{ME}/keep", {"budget": "12", "media": "none"}),
        (f"/person/{ME}/keep", {"budget": "1GiB", "media": "some"}),
        (f"/person/{ME}/keep", {}),
    ],
    ids=str,
)
def test_a_form_that_will_not_do_changes_nothing(
    client: Client, node: FakeNode, path: str, form: dict[str, str]
) -> None:
    answer = client.submit(path, form)
    assert answer.status == 422
    assert len(answer.page.all("p", role="alert")) == 1
    assert "<script>alert" not in answer.text
    assert node.calls == []


def test_nothing_is_done_without_the_token_or_from_outside(client: Client, outside: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines")
    node.offers = [KeepingOffer(ines, "Ines", NOON_MS, is_kept=False)]
    room = {"budget": "1GiB", "media": "none", "who": str(ines), "token": ""}
    for path in ("/kept/ask", "/kept/withdraw", "/kept/accept", "/kept/stop", f"/person/{ines}/keep"):
        assert client.submit(path, room).status == 403
    assert outside.get("/kept").status == 401
    assert node.calls == []


def test_an_invite_may_ask_to_be_kept_and_who_accepts_may_say_yes(client: Client, node: FakeNode) -> None:
    assert client.submit("/invites/new", {"days": "7", "uses": "1", "keep": "on"}).status == 303
    assert ("invite asks keeping",) in node.calls
    ann = cid_of(b"Ann")
    for asks in (True, False):
        said = Invite(ann, PEER, (), bytes(16), NOON_MS // 1000 + 3600, "Ann", asks_keeping=asks)
        page = client.submit("/invites/read", {"invite": encode_invite(said)}).page
        assert ("They also ask you to keep their account" in page.text) is asks
        assert bool(page.all("input", name="keep")) is asks
    asking = encode_invite(Invite(ann, PEER, (), bytes(16), NOON_MS // 1000 + 3600, "Ann", asks_keeping=True))
    client.submit("/invites/accept", {"invite": asking})
    assert ann not in node.promised, "nobody keeps anything without saying so"
    client.submit("/invites/accept", {"invite": asking, "keep": "on"})
    assert ann in node.promised
