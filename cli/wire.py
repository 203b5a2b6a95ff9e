"""The state of the network in words: that it is down and why, and which bounds were met lately."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from unhush.cli.shown import time_text
from unhush.node.names import clean_text

if TYPE_CHECKING:
    from unhush.node.views import LimitMet, OutageInfo

# What was met longer ago is in ``status --json`` and in the metrics; it is no news.
LATELY_S: Final = 3_600.0


def outage_line(outage: "OutageInfo", now_ms: int) -> str:
    """That the network is down, since when and why; everything else goes on."""
    since = time_text(now_ms - int(outage.for_s * 1_000))
    again = f"; {outage.starts} starts failed since" if outage.starts else ""
    return f"network   restarting since {since} because {clean_text(outage.reason)}{again}"


def limit_lines(limits_met: "Iterable[LimitMet]") -> list[str]:
    """The bounds met within the hour, the latest first, with their counts since the node started."""
    return [
        f"bounds    {met.count} {met.words}, last {_ago(met.s_ago)} ago" for met in limits_met if met.s_ago < LATELY_S
    ]


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
