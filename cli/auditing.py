"""``audit``: the verdict on what is held of an account, and evidence that others can check."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unhush.cli.context import FILE, Context, OurCommand, check_target, expanded, force_option, pass_context
from unhush.cli.shown import display_name, some, time_text
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.gossip.proto.ranges import Ranges
    from unhush.gossip.proto.verdicts import LogVerdict, Missing
    from unhush.node.keeping.auditing import Asked, Audit

# By the word of the verdict; beyond what any other command ends with.
EXIT_CODES: Final = {"complete": 0, "behind": 10, "withheld": 11, "gap": 12}
_SHOWN: Final = 10  # of a list, one by one


@click.command(cls=OurCommand, name="audit")
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option("--evidence", type=FILE, metavar="FILE", help="Write what was signed to FILE, for others to check.")
@force_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 3_600),
    default=30.0,
    metavar="SECONDS",
    help="Wait no longer than this for peers and keepers (default 30).",
)
@pass_context
def audit_command(
    context: Context, account: str | None, evidence: Path | None, timeout_s: float, *, force: bool
) -> int:
    """Say whether all of ACCOUNT (an id, or what you call them; your own, if none is named) is here.

    The exit code is 0 if it is complete, 10 if newer records are known (behind), 11 if something is withheld by
    a keeper who says why, 12 if something is missing and nobody whose word counts says why (gap). That is the word
    of the account itself, of keepers it asked, and of whom you follow. A running node asks peers and keepers first.
    """
    file = expanded(evidence) if evidence is not None else None
    if file is not None:
        check_target(file, force=force)
    with context.open() as node:
        progress = _Progress(context)
        audit = node.audit(account, timeout_s, progress.say)
        written = 0
        if file is not None:
            from unhush.node.keeping.evidence_file import write_evidence

            written = write_evidence(file, audit.evidence(), force=force)
    value = json_of_audit(audit)
    lines = lines_of_audit(audit)
    if file is not None:
        value["evidence"] = {"file": str(file), "bytes": written}
        lines.append(f"What was signed is in {file} ({written:,} bytes). Anybody can check it: unhush verify {file}")
    context.emit(value, "\n".join(lines))
    return EXIT_CODES[audit.verdict.word.value]


class _Progress:
    """A word whenever somebody has answered."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._said = ""

    def say(self, asked: "Asked") -> None:
        text = _asked_text(asked)
        if not self._context.is_json and asked.peers and text != self._said:
            self._said = text
            self._context.say(f"asking: {text}")


# -- for people


def lines_of_audit(audit: "Audit") -> list[str]:
    from unhush.node.keeping.evidence_file import accusation_text

    verdict = audit.verdict
    lines = [_VERDICTS[verdict.word.value].format(as_of=_as_of(audit)), _sources(audit)]
    for log in verdict.logs:
        lines += _log_lines(log, audit)
    for each in audit.elsewhere[:_SHOWN]:
        who = display_name(audit.names.get(each.who, ""), each.who)
        who += "" if each.counts else ", whose word does not count,"
        lines.append(f"  {who} withholds {each.entry}, which is here: {clean_name(each.reason)}")
    if audit.elsewhere[_SHOWN:]:
        lines.append(f"  and {len(audit.elsewhere) - _SHOWN:,} more such words on what is here")
    if verdict.rumours:
        top = verdict.rumours[0]
        lines.append(
            f"Others tell of more, up to record {top.head.seq:,}; nothing that is known here to be signed by the "
            "author shows it."
        )
    for named in verdict.accused:
        lines.append(accusation_text(named, audit.names.get(named.keeper, "")))
    return lines


_VERDICTS: Final = {
    "complete": "Complete: everything is here that the author is known to have signed{as_of}.",
    "behind": "Behind: the author signed newer records than are here{as_of}.",
    "withheld": "Withheld: something is not given, by somebody who says why{as_of}.",
    "gap": "Gap: something is missing, and nobody whose word counts says why{as_of}.",
}


def _as_of(audit: "Audit") -> str:
    return f", as of {time_text(audit.verdict.as_of)}" if audit.verdict.as_of is not None else ""


def _sources(audit: "Audit") -> str:
    heard = f"{some(audit.verdict.sources, 'source')} heard"
    if audit.asked is None:
        return f"  {heard}, from this home alone: no node runs here, so nobody was asked now"
    late = "" if audit.asked.is_done else "; not all had answered when time was up"
    return f"  {heard}; asked now: {_asked_text(audit.asked)}{late}"


def _asked_text(asked: "Asked") -> str:
    networks = "" if asked.networks < 2 else f" in {asked.networks} networks"
    return (
        f"{asked.answered} of {asked.peers} machines{networks} answered, "
        f"{asked.keepers_answered} of {asked.keepers} keepers"
    )


def _log_lines(log: "LogVerdict", audit: "Audit") -> list[str]:
    device = f"device {str(log.key)[:9]}…"
    lines = []
    if log.gaps:
        lines.append(f"  {device}: missing {_ranges_text(log.gaps)}")
    if log.behind:
        lines.append(f"  {device}: not here yet {_ranges_text(log.behind)}")
    for each in log.withheld[:_SHOWN]:
        who = "this node" if each.who is None else display_name(audit.names.get(each.who, ""), each.who)
        entry = f" ({each.entry})" if each.entry is not None else ""
        lines.append(f"  {device}: record {each.seq:,}{entry} is withheld by {who}: {clean_name(each.reason)}")
    if log.withheld_count > _SHOWN:
        lines.append(f"  {device}: {log.withheld_count:,} withheld in all")
    for each in log.said[:_SHOWN]:
        assert each.who is not None
        who = display_name(audit.names.get(each.who, ""), each.who)
        lines.append(
            f"  {device}: record {each.seq:,}: {who}, whose word does not count, says: {clean_name(each.reason)}"
        )
    if log.fork is not None:
        lines.append(f"  {device}: two histories from record {log.fork:,} on; the one seen first is judged")
    return lines


def _ranges_text(ranges: "Ranges") -> str:
    parts = [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in ranges.pairs[:_SHOWN]]
    more = f" and {len(ranges) - _SHOWN:,} more stretches" if len(ranges) > _SHOWN else ""
    count = ranges.count()
    return f"{'record' if count == 1 else 'records'} {', '.join(parts)}{more}"


# -- JSON


def json_of_audit(audit: "Audit") -> dict[str, Any]:
    from unhush.node.keeping.evidence_file import json_of_contradiction

    verdict, asked = audit.verdict, audit.asked
    return {
        "account": str(audit.account),
        "verdict": verdict.word.value,
        "as_of": verdict.as_of,
        "now": audit.now_ms,
        "sources": verdict.sources,
        "asked": {
            "peers": asked.peers,
            "answered": asked.answered,
            "networks": asked.networks,
            "keepers": asked.keepers,
            "keepers_answered": asked.keepers_answered,
            "done": asked.is_done,
        }
        if asked is not None
        else None,
        "logs": [_json_of_log(log) for log in verdict.logs],
        "told": [
            {"device": str(each.head.key), "seq": each.head.seq, "by": each.who, "time": each.time}
            for each in verdict.rumours
        ],
        "elsewhere": [
            {"entry": str(each.entry), "by": str(each.who), "reason": each.reason, "counts": each.counts}
            for each in audit.elsewhere
        ],
        "accused": [json_of_contradiction(each) for each in verdict.accused],
    }


def _json_of_log(log: "LogVerdict") -> dict[str, Any]:
    return {
        "device": str(log.key),
        "verdict": log.word.value,
        "held_to": log.held_to,
        "told_to": log.told_to,
        "gaps": [list(pair) for pair in log.gaps],
        "behind": [list(pair) for pair in log.behind],
        "withheld": list(map(_json_of_missing, log.withheld)),
        "withheld_count": log.withheld_count,
        "said": list(map(_json_of_missing, log.said)),
        "fork": log.fork,
    }


def _json_of_missing(missing: "Missing") -> dict[str, Any]:
    return {
        "seq": missing.seq,
        "entry": str(missing.entry) if missing.entry is not None else None,
        "by": str(missing.who) if missing.who is not None else None,
        "reason": missing.reason,
    }
