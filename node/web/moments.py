"""How a moment is said: "Tuesday afternoon", "This morning", "14:31", "13 Oct".

Times are what a record's author claimed, in milliseconds; any integer may come,
so what no calendar holds is said to be undated. Day and month names are ours,
not the locale's, so that a page reads the same on every machine.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol, TypeVar

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class Dated(Protocol):
    """Anything with a claimed time."""

    @property
    def time_ms(self) -> int: ...


T = TypeVar("T", bound=Dated)


def moment(time_ms: int) -> datetime | None:
    """The moment in the zone of this machine, or ``None`` when no calendar holds it."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, tz=UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return None


def part_of_day(hour: int) -> str:
    if hour < 5:
        return "night"
    if hour < 12:
        return "morning"
    if hour < 18:
        return "afternoon"
    return "evening"


def page_heading(now: datetime) -> str:
    """``Tuesday afternoon``; the small hours belong to the night of the day before them."""
    day = now - timedelta(days=1) if now.hour < 5 else now
    return f"{DAYS[day.weekday()]} {part_of_day(now.hour)}"


def day_text(day: date, today: date) -> str:
    text = f"{day.day} {MONTHS[day.month - 1]}"
    return text if day.year == today.year else f"{text} {day.year}"


def short_text(time_ms: int, now: datetime) -> str:
    """What stands beside a post: the clock today, the day before that."""
    then = moment(time_ms)
    if then is None:
        return "undated"
    if then.date() == now.date():
        return f"{then:%H:%M}"
    if timedelta(0) < now.date() - then.date() < timedelta(days=7):
        return f"{DAYS[then.weekday()][:3]} {then:%H:%M}"
    text = f"{then.day} {MONTHS[then.month - 1][:3]}"
    return text if then.year == now.year else f"{text} {then.year}"


def full_text(time_ms: int) -> str:
    then = moment(time_ms)
    if then is None:
        return "undated"
    return f"{DAYS[then.weekday()]}, {then.day} {MONTHS[then.month - 1]} {then.year}, {then:%H:%M}"


def machine_text(time_ms: int) -> str:
    """For ``<time datetime>``; empty when undated."""
    then = moment(time_ms)
    return then.isoformat(timespec="seconds") if then else ""


def stretch(time_ms: int, now: datetime) -> tuple[int, str]:
    """The stretch of time a post falls in: a rank that falls with age, and its heading."""
    then = moment(time_ms)
    if then is None:
        return (-(10**9), "Undated")
    age = (now.date() - then.date()).days
    if age <= 0:
        rank = ("night", "morning", "afternoon", "evening").index(part_of_day(then.hour))
        part = part_of_day(then.hour)
        return (rank, "Last night" if part == "night" else f"This {part}")
    if age == 1:
        return (-1, "Yesterday")
    if age < 7:
        return (-age, f"{DAYS[then.weekday()]}")
    return (-age, day_text(then.date(), now.date()))


def with_headings(items: Iterable[T], now: datetime) -> Iterator[tuple[str | None, T]]:
    """Each item with the heading that opens its stretch, if it opens one.

    Posts stand in the order of the node, which need not be that of the claimed
    times: a heading appears only when the list steps back, never forward again.
    The stretch we are in needs none: the page's own heading names it.
    """
    lowest = stretch(int(now.timestamp() * 1000), now)[0]
    for item in items:
        rank, heading = stretch(item.time_ms, now)
        if rank < lowest:
            lowest = rank
            yield heading, item
        else:
            yield None, item
