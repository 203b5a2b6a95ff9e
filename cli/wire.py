"""The state of the network in words: that it is down and why, and which bounds were met lately."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from unhush.cli.shown import time_text
from unhush.node.names import clean_text

if TYPE_CHECKING:
    from unhush.node.views import LimitMet, OutageInfo

# What was met longer ago, or is met every day, is in ``status --json`` and in the metrics; it is no news.
LATELY_S: Final = 3_600.0
# To whoever follows somebody from a home that has nobody to ask for their posts.
NOBODY_KNOWN: Final = (
    "No machine is known yet that could have their posts: ask them for an invite, which says where they are, and: "
    "unhush accept INVITE"
)


def outage_line(outage: "OutageInfo", now_ms: int) -> str:
    """That the network is down, since when and why; everything else goes on."""
    since = time_text(now_ms - int(outage.for_s * 1_000))
    again = f"; {outage.starts} starts failed since" if outage.starts else ""
    return f"network   restarting since {since} because {clean_text(outage.reason)}{again}"


def limit_lines(limits_met: "Iterable[LimitMet]") -> list[str]:
    """The bounds met within the hour, the latest first, with their counts since the node started.

    Those that healthy nodes meet every day are left out.
    """
    from unhush.gossip.proto.tally import EVERYDAY

    return [
        f"bounds    {met.words}: {met.count}, last {_ago(met.s_ago)} ago"
        for met in limits_met
        if met.s_ago < LATELY_S and met.name not in EVERYDAY
    ]


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
