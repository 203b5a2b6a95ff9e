"""``storage`` and ``gc``: who takes what of this disk, and making room."""

from typing import TYPE_CHECKING, Any, Final

import click

from unhush.cli.context import Context, OurCommand, pass_context
from unhush.cli.shown import display_name, some, time_text
from unhush.node.keeping.sizes import size_text

if TYPE_CHECKING:
    from unhush.node.home.room import Collected, RoomReport, Storage, Tier

_TIERS: Final = {
    "OWN": "you",
    "KEPT": "kept",
    "FOLLOWED": "followed",
    "NEAR": "two steps away",
    "STRANGER": "strangers",
}


_MOST_FULL: Final = 10  # kept accounts without room that are named


@click.command(cls=OurCommand, name="storage")
@pass_context
def storage_command(context: Context) -> None:
    """Say who takes what of this disk, how much they may, and what gc would drop now."""
    with context.open() as node:
        storage = node.room.describe()
    context.emit(_json_of_storage(storage), "\n".join(_lines_of_storage(storage)))


@click.command(cls=OurCommand, name="gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--now", is_flag=True, help="What you deleted yourself goes at once, not after thirty days.")
@pass_context
def gc_command(context: Context, dry_run: bool, now: bool) -> None:
    """Drop what has had its time, and make room where somebody takes too much.

    Bodies of deleted records and records that fell out of force go thirty days after gc first saw them, so run it now
    and then; a running node does so every hour.
    """
    with context.open() as node:
        done = node.room.collect(is_now=now, is_dry=dry_run)
    context.emit(_json_of_collected(done), "\n".join(_lines_of_collected(done)))


# -- text


def _lines_of_storage(storage: "Storage") -> list[str]:
    report = storage.report
    lines = [
        f"database   {size_text(report.database_bytes)}, {size_text(report.free_bytes)} of it free to be written again",
        f"media      {size_text(report.media_bytes)}",
        f"full text  {size_text(report.fulltext_bytes)}",
        f"room       {size_text(report.growth_bytes)} more, "
        f"of which the last {size_text(report.reserve_bytes)} are for your own posts",
        "",
    ]
    for tier, used in report.tiers.usage.items():
        lines.append(
            f"{_TIERS[tier.name]:<16}{some(report.tiers.accounts[tier], 'account'):>15}"
            f"{some(used.records, 'record'):>19}{size_text(used.size_bytes):>12}  {_limit_text(report, tier)}"
        )
    full = [each for each in report.kept if each.is_full]
    lines += [
        f"full: {kept.account} · {size_text(kept.size_bytes)} of the {size_text(kept.budget_bytes)} promised"
        for kept in full[:_MOST_FULL]
    ]
    if len(full) > _MOST_FULL:
        lines.append(f"full: {len(full) - _MOST_FULL:,} more")
    if report.largest:
        lines += ["", "Who takes most (posts, then media):"]
    for each in report.largest:
        name = display_name(storage.names.get(each.account), each.account)
        media = f" + {size_text(each.media_bytes)}" if each.media_bytes else ""
        lines.append(f"  {size_text(each.size_bytes):>10}{media}  {name} · {_TIERS[each.tier.name]} · {each.account}")
    due = storage.due
    lines += ["", *_lines_of_collected(due)]
    return lines


def _limit_text(report: "RoomReport", tier: "Tier") -> str:
    each, together = report.limits.each(tier), report.limits.together(tier)
    if tier.name == "KEPT":
        return "as much as was promised of each"
    if each is None:
        return "no limit"
    in_all = f", {size_text(together)} together" if together is not None else ""
    return f"at most {size_text(each)} each{in_all}"


def _lines_of_collected(done: "Collected") -> list[str]:
    """What went, or would; one line for each sort."""
    would = "gc would " if done.is_dry else ""
    sorts = [
        (done.erased, f"erase {some(done.erased, 'deleted body', 'deleted bodies')}", done.erased_bytes),
        (done.dropped, f"drop {some(done.dropped, 'void record')}", done.dropped_bytes),
        (done.overdrawn, f"take room back from {some(done.overdrawn, 'account')}", done.evicted_bytes),
        (done.blobs.blocks, f"remove {some(done.blobs.blocks, 'file')} of media", done.blobs.size_bytes),
    ]
    lines = [f"{would}{what}: {size_text(taken)}" for count, what, taken in sorts if count]
    lines = [line if done.is_dry else _past(line) for line in lines]
    if done.forgotten:
        lines.append(f"forgot {some(done.forgotten, 'account')} of strangers")
    if done.scrubbed:
        lines.append(f"overwrote {some(done.scrubbed, 'page')} of the database that held what is gone")
    if not lines:
        lines.append("gc would find nothing to do." if done.is_dry else "There was nothing to do.")
    if done.waiting and done.next_ms is not None:
        lines.append(
            f"{some(done.waiting, 'record')} can still come back and {'waits' if done.waiting == 1 else 'wait'}; "
            f"the first goes after {time_text(done.next_ms)}"
        )
    if done.held_back:
        lines.append(f"{some(done.held_back, 'page')} could not be overwritten while somebody reads; run it again")
    return lines


_PAST: Final = {"erase": "erased", "drop": "dropped", "take": "took", "remove": "removed"}


def _past(line: str) -> str:
    verb, _, rest = line.partition(" ")
    return f"{_PAST[verb]} {rest}"


# -- JSON


def _json_of_storage(storage: "Storage") -> dict[str, Any]:
    report = storage.report
    return {
        "database": report.database_bytes,
        "free": report.free_bytes,
        "media": report.media_bytes,
        "fulltext": report.fulltext_bytes,
        "room": report.growth_bytes,
        "reserve": report.reserve_bytes,
        "tiers": {
            tier.name.lower(): {
                "accounts": report.tiers.accounts[tier],
                "records": used.records,
                "bytes": used.size_bytes,
                "most_each": report.limits.each(tier),
                "most_together": report.limits.together(tier),
            }
            for tier, used in report.tiers.usage.items()
        },
        "largest": [
            {
                "account": str(each.account),
                "name": storage.names.get(each.account, ""),
                "tier": each.tier.name.lower(),
                "bytes": each.size_bytes,
                "records": each.records,
                "media": each.media_bytes,
            }
            for each in report.largest
        ],
        "kept": [
            {
                "account": str(each.account),
                "bytes": each.size_bytes,
                "budget": each.budget_bytes,
                "is_full": each.is_full,
            }
            for each in report.kept
        ],
        "gc": _json_of_collected(storage.due),
    }


def _json_of_collected(done: "Collected") -> dict[str, Any]:
    return {
        "dry_run": done.is_dry,
        "erased": done.erased,
        "erased_bytes": done.erased_bytes,
        "dropped": done.dropped,
        "dropped_bytes": done.dropped_bytes,
        "waiting": done.waiting,
        "next": done.next_ms,
        "overdrawn": done.overdrawn,
        "evicted": done.evicted,
        "evicted_bytes": done.evicted_bytes,
        "forgotten": done.forgotten,
        "media_files": done.blobs.blocks,
        "media_bytes": done.blobs.size_bytes,
        "scrubbed_pages": done.scrubbed,
        "held_back_pages": done.held_back,
    }
