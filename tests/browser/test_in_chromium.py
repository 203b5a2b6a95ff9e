"""The page in a real browser: nothing strange runs, everything ours does, everybody can use it."""

from typing import Any

from tests.node.web.payloads import PAYLOADS


def test_no_payload_runs_or_leaves_markup(hostile_seen: dict[str, Any]) -> None:
    assert hostile_seen["dialogs"] == 0
    # A refusal by the content security policy would be logged: so little gets through that it has nothing to refuse.
    assert hostile_seen["errors"] == []
    assert hostile_seen["outside"] == []
    assert {(page["foreign"], page["links"]) for page in hostile_seen["hostile"]} == {(0, 0)}
    assert sum(page["posts"] for page in hostile_seen["hostile"]) > 4 * len(PAYLOADS)


def test_a_person_comes_in_writes_answers_and_is_told_of_news(journey_seen: dict[str, Any]) -> None:
    assert journey_seen["entered"].endswith(".localhost:" + journey_seen["entered"].rpartition(":")[2])
    assert journey_seen["cookies"] == [{"name": "unhush", "httpOnly": True, "sameSite": "Strict"}]
    assert journey_seen["first"].strip() == "Writing this from the ferry."
    assert [text.strip() for text in journey_seen["thread"]] == [
        "Writing this from the ferry.",
        "Writing this from the ferry. (an answer)",
    ]
    assert journey_seen["pill"] == "1 new post"
    assert journey_seen["help"] is True
    assert journey_seen["errors"] == []
    assert len(journey_seen["kept"]) == 3


def test_what_is_typed_works_without_script(journey_seen: dict[str, Any]) -> None:
    assert journey_seen["plain"].strip() == "Without script."


def test_every_page_is_free_of_axe_violations(pages_seen: dict[str, Any]) -> None:
    looks = pages_seen["axe"]
    assert len(looks) == 4 * 20
    assert [look for look in looks if look["violations"]] == []


def test_no_page_scrolls_sideways(pages_seen: dict[str, Any]) -> None:
    assert [look for look in pages_seen["axe"] if look["overflow"] > 0] == []


def test_the_pages_of_invites_are_free_of_axe_violations_and_do_not_scroll_sideways(
    invites_seen: dict[str, Any],
) -> None:
    looks = invites_seen["axe"]
    assert len(looks) == 4 * 3
    assert [look for look in looks if look["violations"] or look["overflow"] > 0] == []
    assert invites_seen["errors"] == []
    assert invites_seen["outside"] == []


def test_home_is_drawn_and_nothing_is_fetched_from_elsewhere(pages_seen: dict[str, Any]) -> None:
    assert len(pages_seen["shots"]) == 4
    assert pages_seen["outside"] == []
