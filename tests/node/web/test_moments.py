"""How a moment is said."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from unhush.node.web import moments

NOW = datetime(2026, 10, 13, 14, 40).astimezone()  # a Tuesday; the zone is this machine's


def ms(*when: int) -> int:
    return int(datetime(*when).astimezone().timestamp() * 1000)  # type: ignore[arg-type]  # year to minute


@dataclass
class Dated:
    time_ms: int


@pytest.mark.parametrize(
    ("hour", "heading"),
    [(2, "Monday night"), (5, "Tuesday morning"), (12, "Tuesday afternoon"), (18, "Tuesday evening")],
)
def test_the_page_is_headed_by_the_time_of_day(hour: int, heading: str) -> None:
    assert moments.page_heading(NOW.replace(hour=hour)) == heading


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ((2026, 10, 13, 9, 5), "09:05"),
        ((2026, 10, 12, 9, 5), "Mon 09:05"),
        ((2026, 10, 6, 9, 5), "6 Oct"),
        ((2025, 10, 13, 9, 5), "13 Oct 2025"),
        ((2026, 10, 14, 9, 5), "14 Oct"),
    ],
)
def test_a_post_says_its_time_as_short_as_can_be(when: tuple[int, ...], text: str) -> None:
    assert moments.short_text(ms(*when), NOW) == text


@pytest.mark.parametrize("time_ms", [2**63, -(2**63), 2**64])
def test_a_time_no_calendar_holds_is_undated(time_ms: int) -> None:
    assert moments.short_text(time_ms, NOW) == moments.full_text(time_ms) == "undated"
    assert moments.machine_text(time_ms) == ""
    assert moments.stretch(time_ms, NOW)[1] == "Undated"


def test_headings_open_each_stretch_once_and_never_go_forward() -> None:
    items = [
        Dated(ms(2026, 10, 13, 14, 0)), Dated(ms(2026, 10, 13, 9, 0)), Dated(ms(2026, 10, 13, 13, 0)),
        Dated(ms(2026, 10, 12, 9, 0)), Dated(ms(2026, 10, 12, 8, 0)), Dated(ms(2026, 10, 9, 8, 0)),
        Dated(ms(2024, 2, 29, 8, 0)), Dated(2**63),
    ]  # fmt: skip
    assert [heading for heading, _ in moments.with_headings(items, NOW)] == [
        None, "This morning", None, "Yesterday", None, "Friday", "29 February 2024", "Undated",
    ]  # fmt: skip
