"""``drill``: what a loss would mean for an account, rehearsed or for real."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from unhush.cli.codes import ATTENTION
from unhush.cli.context import Context, OurCommand, WrongUse, account_option, pass_context
from unhush.cli.progress import doing_line_by_line
from unhush.cli.shown import some

if TYPE_CHECKING:
    from unhush.gossip.proto.drilling import Advice
    from unhush.node.drill.forecast import Drilled
    from unhush.node.drill.live import LiveDrill

_WAYS: Final = {
    "open": "over a connection that was open",
    "book": "by an address it had",
    "card": "by the account's card",
    "keeper_card": "by a keeper's card",
    "told": "asking a peer whom it knows",
    "dht": "in the DHT",
    "bootstrap": "by a bootstrap peer",
    "called": "called by another carrier, or by its author's new machine",
    "return": "its author came back through it",
}

_NO_WORDS: Final = "The 24 words are not on paper yet: without this machine the account could never write again."


@click.command(cls=OurCommand, name="drill")
@click.option(
    "--lose",
    default="home",
    show_default=True,
    metavar="WHAT",
    help="What vanishes: home, peer:N (the N best connected), keeper:N, handle, bootstrap; several with commas.",
)
@account_option
@click.option("--live", is_flag=True, help="Also ask the network for it now, as a stranger would.")
@click.option("--peer", metavar="MULTIADDR", help="With --live: the one address the stranger is told.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Other dice for what is unknown."
)
@pass_context
def drill_command(context: Context, *, lose: str, seed: int, account: str | None, live: bool, peer: str | None) -> int:
    """Say what would become of an account if this machine, its peers or its keepers vanished. Nothing is changed.

    The real state of this home is rehearsed with what you name taken out: how many followers find the account again,
    by which way, how fast, what would be lost, and the one thing to do about it. With --live a throw-away home then
    asks the network for the account, and is removed again. The exit code is 7 if there is something to do.
    """
    from unhush.node.config import check_address
    from unhush.node.drill.forecast import drill

    if peer is not None and not live:
        raise WrongUse("--peer goes with --live.")
    if peer is not None:
        check_address(peer)
    with context.open() as node:
        who = node.account_of(account) if account is not None else None
        drilled = drill(node, lose, account=who, seed=seed)
        context.emit(_json_of(drilled), _text_of(drilled, lose))
        if live:
            from unhush.node.drill.live import drill_live

            with _ended_as_by_hand():
                came = drill_live(node, drilled, lose, peer=peer, on_progress=doing_line_by_line(context))
            context.emit(_json_of_live(came), _text_of_live(came))
            if came.complete_s is None or not came.is_clean:
                return ATTENTION
    return ATTENTION if drilled.report.advice is not None and not drilled.report.advice.harder_by else 0


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """Whatever asks the program to end does so as Ctrl-C: what lies in a throw-away home is removed first."""
    asking = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]

    def end(_number: int, _frame: FrameType | None) -> None:
        for each in asking:
            signal.signal(each, signal.SIG_IGN)  # once is enough: nothing is to interrupt the removal
        raise KeyboardInterrupt

    before = {each: signal.signal(each, end) for each in asking}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# --- for programs ----------------------------------------------------------------------------------------------


def _json_of(drilled: "Drilled") -> dict[str, Any]:
    report = drilled.report
    return {
        "account": str(drilled.account),
        "own": drilled.is_own,
        "running": drilled.is_running,
        "lost": [{"machine": _plain(name), "called": drilled.names.get(name, name)} for name in report.lost],
        "followers": round(report.followers, 1),
        "share": round(report.share, 4),
        "low": round(report.low, 4),
        "high": round(report.high, 4),
        "ways": {way.value: round(share, 4) for way, share in report.ways.items()},
        "half_s": report.half_s,
        "last_s": report.last_s,
        "author_returns": report.author_returns,
        "through": drilled.addresses.get(report.entry),
        "records_lost": report.records_lost,
        "pictures_unkept": report.pictures_lost,
        "strangers": report.strangers,
        "handle_leads": report.handle_leads,
        "sample": report.is_sample,
        "undialled": report.undialled,
        "unplaced": report.unplaced,
        "unheard": report.unheard,
        "keepers_uncounted": drilled.uncounted,
        "samples": report.samples,
        "advice": _json_of_advice(drilled, report.advice),
    }


def _json_of_advice(drilled: "Drilled", advice: "Advice | None") -> dict[str, Any] | None:
    if advice is None:
        return None
    return {
        "step": advice.step.value,
        "about": drilled.names.get(advice.about),
        "share_before": round(advice.share_before, 4),
        "share": round(advice.share, 4),
        "harder_by": advice.harder_by,
    }


def _json_of_live(came: "LiveDrill") -> dict[str, Any]:
    return {
        "live": True,
        "asked": came.asked,
        "connected_s": came.connected_s,
        "found_s": came.found_s,
        "first_post_s": came.first_s,
        "complete_s": came.complete_s,
        "records": came.records,
        "expected": came.expected,
        "verified": came.verified,
        "clean": came.is_clean,
        "from_lost": came.from_lost,
    }


def _plain(name: str) -> str:
    return name.lstrip("\0")


# --- for people ------------------------------------------------------------------------------------------------


def _text_of(drilled: "Drilled", lose: str) -> str:
    report = drilled.report
    lines = [click.style(f"If this were lost: {_lost_text(drilled, lose)}", bold=True)]
    if not report.followers:
        lines.append("Nobody else is known to carry this account: what is lost here is lost.")
    else:
        if not report.author_returns:
            lines.append(f"{_NO_WORDS} With them it would be so:")
        spread = (
            f", {_percent(report.low)} to {_percent(report.high)} as the dice fall" if report.low < report.high else ""
        )
        lines.append(
            f"{_percent(report.share)} of the {report.followers:.0f} that carry it find it again by themselves{spread}."
        )
    lines += [f"  {_percent(share):>5}  {_WAYS[way.value]}" for way, share in _by_share(drilled)]
    if report.half_s is not None and report.last_s is not None:
        lines.append(
            f"Half of them have the next post after {report.half_s:.0f} s, the last after {report.last_s:.0f} s."
        )
    lines += _author_lines(drilled)
    if report.records_lost:
        lines.append(f"Lost: {some(report.records_lost, 'record that is', 'records that are')} on this device only.")
    if report.pictures_lost:
        lines.append(
            f"{some(report.pictures_lost, 'picture is', 'pictures are')} promised by no keeper that is left; "
            "followers may have them."
        )
    lines.append(
        f"Somebody new could find it at {some(report.strangers, 'machine that lets', 'machines that let')} others in."
    )
    if not report.handle_leads:
        which = "this machine" if drilled.is_own else "the author's machine"
        lines.append(f"Invites and pages that name {which} lead nowhere any more.")
    if drilled.uncounted:
        said = some(drilled.uncounted, "account says it keeps it and is", "accounts say they keep it and are")
        lines.append(f"{said} not counted: not asked for, or not proven (unhush keepers).")
    lines += _unknown_lines(drilled)
    lines.append("")
    lines.append("→ " + _advice_text(drilled))
    return "\n".join(lines)


def _by_share(drilled: "Drilled") -> list[tuple[Any, float]]:
    return sorted(drilled.report.ways.items(), key=lambda each: -each[1])


def _lost_text(drilled: "Drilled", lose: str) -> str:
    names = [
        "this machine" if name == drilled.situation.home and drilled.is_own else drilled.names.get(name, name)
        for name in drilled.report.lost
    ]
    others = [part for part in ("handle", "bootstrap") if part in lose.split(",")]
    return ", ".join([*map(_plain, names), *others]) or "nothing that is there"


def _author_lines(drilled: "Drilled") -> list[str]:
    report = drilled.report
    if not report.author_returns and not report.followers:
        return [_NO_WORDS]
    if drilled.situation.home not in report.lost:
        return []
    if not report.entry:
        return ["No machine is known through which its author could come back with the words."]
    comes = "comes" if report.author_returns else "would come"
    through = f"Its author {comes} back with the words through {drilled.names.get(report.entry, '')}"
    where = drilled.addresses.get(report.entry)
    return [f"{through}:", f"  {where}"] if where is not None else [f"{through}."]


def _unknown_lines(drilled: "Drilled") -> list[str]:
    report = drilled.report
    if not drilled.is_running:
        return ["The node is not running, so hardly anything is known of who is there: start it, and drill again."]
    unknown = []
    if report.undialled:
        unknown.append(f"whether {some(report.undialled, 'carrier')} can be dialled")
    if report.unplaced:
        unknown.append(f"where {some(report.unplaced, 'follower is', 'followers are')}")
    if report.unheard:
        unknown.append(f"whom {some(report.unheard, 'machine')} of the last minute know")
    if not unknown:
        return []
    return [f"A sample of {report.samples}: it is not known {', '.join(unknown)}."]


def _advice_text(drilled: "Drilled") -> str:
    advice = drilled.report.advice
    if advice is None:
        return "Nothing that could be done at one stroke would change this."
    about = drilled.names.get(advice.about, "one of them")
    text = {
        "write_words": "Write the 24 words on paper, and then: unhush id check",
        "stay_online": "Let the node run until somebody has what is only here: unhush run",
        "add_keeper": "Ask one more to keep it, on a machine that lets others in: unhush keep --offer KEEPER"
        if drilled.is_own
        else f"Let one more machine keep it that lets others in; there: unhush keep {drilled.account}",
        "open_follower": _open_text(drilled, advice.about, about),
        "publish_card": "Let this node be reached, so that it can publish a card: unhush run; unhush doctor"
        if drilled.is_own
        else "Its author can let their node be reached, so that it publishes a card: unhush doctor, there",
        "exchange": "Let machines tell each other of machines: Config(exchange=True)",
        "keep_pictures": f"Ask {about} to keep the pictures too: unhush keep {drilled.account} --media all, there",
    }[advice.step.value]
    if advice.harder_by:
        more = "one machine" if advice.harder_by == 1 else f"{advice.harder_by} machines"
        return f"This costs nothing. If {more} more went: {text} ({_gain(advice, drilled.report.followers)})."
    return f"{text} ({_gain(advice, drilled.report.followers)})."


def _open_text(drilled: "Drilled", machine: str, called: str) -> str:
    if machine not in drilled.ours:
        return f"Ask {called} to let others in (unhush doctor there says how)"
    if called == "this machine":
        return "Let others in here: unhush doctor"
    return f"Let others in at {called}: unhush doctor, there"


def _gain(advice: "Advice", followers: float) -> str:
    if round(advice.share, 2) == round(advice.share_before, 2):
        if not followers:
            return "less is lost"
        found = "as many find it, and" if round(advice.share, 2) else "nobody finds it yet, but"
        return f"{found} less is lost"
    return f"{_percent(advice.share)} instead of {_percent(advice.share_before)} find it again"


def _text_of_live(came: "LiveDrill") -> str:
    if came.connected_s is None:
        return f"\nFor real: nobody answered at {came.asked}."
    lines = [f"\nFor real, a stranger who was told of {came.asked}:"]
    for what, seconds in (
        ("connected", came.connected_s),
        ("found a carrier", came.found_s),
        ("had a first post", came.first_s),
        ("had all of it", came.complete_s),
    ):
        lines.append(f"  {what:<18}{'not at all' if seconds is None else f'after {seconds:.2f} s'}")
    lines.append(
        f"  {came.records} of {came.expected} records came; checked anew, with those around it: {came.verified}, "
        + ("all of them sound." if came.is_clean else "and not all of them are sound: unhush audit says more.")
    )
    if came.from_lost:
        lines.append(f"  {came.from_lost} of them came from what was to be lost, before it was let go of.")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
