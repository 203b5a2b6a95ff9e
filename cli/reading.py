"""``timeline``, ``thread``, ``activity``, ``tag``, ``history``, ``show``, ``status``: looking, never changing."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import click

from unhush.cli.context import Context, OurCommand, WrongUse, pass_context
from unhush.cli.keeping import json_of_kept, kept_lines
from unhush.cli.shown import display_name, json_of, name_of, some, text_of, time_text
from unhush.cli.standing import alarm_lines, count_cut, health_lines
from unhush.cli.wire import NOBODY_KNOWN, limit_lines, outage_line
from unhush.node.names import clean_name, clean_text

if TYPE_CHECKING:
    from unhush.node import Node
    from unhush.node.views import Concern


_NOTHING_HOME: Final = "Nothing here yet. Follow somebody: unhush follow ACCOUNT; or say something: unhush post TEXT"
_NOTHING_CAME: Final = (
    "Nothing here yet. Posts come while your node runs (unhush run) and somebody is there who has them."
)
_ABOUT_CHARS: Final = 60  # of your post that somebody reacted to
_NO_ACCOUNT = "none yet; make one with: unhush init --name NAME; or: unhush restore, unhush device join"


_USUAL_LIMIT: Final = 50
_LIMIT = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=_USUAL_LIMIT, show_default=True, help="How many records."
)
_BEFORE = click.option("--before", metavar="CURSOR", help="Go on where another look ended.")
# Deeper answers stand no further in: a terminal has an edge.
_MAX_INDENT: Final = 6
_REASONS: Final = {
    "mention": "mentioned you",
    "reply": "answered you",
    "reaction": "reacted",
    "repost": "reposted you",
    "quote": "quoted you",
    "follow": "follows you",
    "keeper": "asks you to keep their account",
}


@click.command(cls=OurCommand, name="timeline")
@_LIMIT
@click.option("--of", "who", metavar="WHO", help="What one account posted: an id, or what you call them.")
@click.option("--list", "in_list", metavar="NAME", help="What the people on a list posted.")
@click.option(
    "--only", type=click.Choice(["posts", "replies", "articles", "reposts", "media"]), help="Nothing but these."
)
@click.option("--follow", is_flag=True, help="Oldest first, and go on printing what arrives until stopped.")
@_BEFORE
@pass_context
def timeline_command(
    context: Context,
    *,
    limit: int,
    who: str | None,
    in_list: str | None,
    only: str | None,
    follow: bool,
    before: str | None,
) -> None:
    """Read the people you follow and yourself, newest first; or one account, or a list."""
    if follow and (who or in_list or only or before):
        raise WrongUse("--follow goes with the whole timeline, not with --of, --list, --only or --before.")
    with context.open() as node:
        node.account()
        since = node.last_aid()
        of = node.account_of(who) if who is not None else None
        items, older = _gather(
            lambda count, at: node.timeline(count, at, only=only, of=of, in_list=in_list), limit, before
        )
        for shown in reversed(items) if follow else items:
            context.emit(json_of(shown), text_of(shown, is_folded=True))
        if not items and not follow and not context.is_json:
            is_home = of is None and in_list is None and only is None and before is None
            context.say(_nothing_home(node) if is_home else _nothing(before))
        if not follow:
            options = {"--of": who, "--list": in_list, "--only": only}
            said = [word for option, value in options.items() if value is not None for word in (option, value)]
            _say_older(context, older, ["timeline", *said], limit)
        else:
            sys.stdout.flush()
            # What came while we read the page is on it and after ``since``.
            with contextlib.suppress(KeyboardInterrupt):  # the one way to end it, and no failure
                _go_on(context, node, since, printed={shown.aid for shown in items})


Each_co = TypeVar("Each_co", covariant=True)


class _Listed(Protocol[Each_co]):
    """A part of a listing, and the cursor of what follows."""

    @property
    def items(self) -> tuple[Each_co, ...]: ...
    @property
    def next(self) -> str | None: ...


def _gather(
    turn: Callable[[int, str | None], _Listed[Each_co]], limit: int, before: str | None
) -> tuple[list[Each_co], str | None]:
    """What is listed, page by page, until there is enough; and the cursor of what follows, if anything does."""
    items: list[Each_co] = []
    while True:
        page = turn(limit - len(items), before)
        items += page.items
        before = page.next
        if before is None or len(items) >= limit:
            return items, before


def _say_older(context: Context, cursor: str | None, command: Sequence[str], limit: int) -> None:
    """How to go on; for programs too, as after a search: the cursor is the last word."""
    if cursor is not None:
        words = [*command, *(["--limit", str(limit)] if limit != _USUAL_LIMIT else [])]
        context.say(f"Older: unhush {clean_text(shlex.join(words))} --before {cursor}")


def _nothing_home(node: "Node") -> str:
    if not node.follows():
        return _NOTHING_HOME
    return _NOTHING_CAME if node.knows_anybody() or node.peers() else f"Nothing here yet. {NOBODY_KNOWN}"


def _nothing(before: str | None) -> str:
    return "Nothing here." if before is None else "Nothing older."


def _go_on(context: Context, node: "Node", since: int, printed: set[int]) -> None:
    for shown in node.events(since, home_only=True):
        if shown.aid not in printed:
            context.emit(json_of(shown), text_of(shown))
            sys.stdout.flush()


@click.command(cls=OurCommand, name="thread")
@click.argument("record", metavar="ID")
@pass_context
def thread_command(context: Context, record: str) -> None:
    """Read the whole conversation that the record ID belongs to: each answer beneath what it answers."""
    with context.open() as node:
        thread = node.thread(record)
        more = thread
        while more.next is not None:
            more = node.thread(record, after=more.next)
            thread = replace(thread, branches=thread.branches + more.branches)
    if thread.root is not None:
        context.emit(json_of(thread.root) | {"depth": 0}, text_of(thread.root, is_folded=True))
    elif not context.is_json:
        context.say(f"The post this began with ({thread.root_id}) is not here.")
    for branch in thread.branches:
        indent = "    " * min(branch.depth, _MAX_INDENT)
        if branch.shown is None:
            value = {"id": str(branch.id), "depth": branch.depth, "here": False}
            context.emit(value, f"{indent}(a post that has not arrived: {branch.id})\n")
        else:
            value = json_of(branch.shown) | {"depth": branch.depth}
            context.emit(value, text_of(branch.shown, indent=indent, is_folded=True))


@click.command(cls=OurCommand, name="activity")
@_LIMIT
@_BEFORE
@pass_context
def activity_command(context: Context, limit: int, before: str | None) -> None:
    """Read what others did with you and your posts, newest first."""
    with context.open() as node:
        node.account()
        items, older = _gather(node.activity, limit, before)
    for concern in items:
        target = str(concern.target.id) if concern.target is not None else None
        value = json_of(concern.shown) | {"reasons": list(concern.reasons), "target": target}
        context.emit(value, _concern_text(concern))
    if not items and not context.is_json:
        context.say("Nothing yet." if before is None else "Nothing older.")
    _say_older(context, older, ["activity"], limit)


def _concern_text(concern: "Concern") -> str:
    shown = concern.shown
    emoji = f" {clean_name(shown.emoji)}" if shown.emoji else ""
    head = f"{', '.join(_REASONS.get(reason, reason) for reason in concern.reasons)}{emoji}"
    about = concern.target
    words = clean_name(about.text)[:_ABOUT_CHARS] if about is not None and shown.kind != "post" else ""
    lines = [f"{name_of(shown)} {head} · {time_text(shown.time_ms)}", f"  to: {words}" if words else ""]
    if shown.kind == "post":
        return "\n".join(["* " + lines[0], text_of(shown, indent="  ", is_folded=True)])
    return "\n".join(["* " + lines[0], *([lines[1]] if lines[1] else [])]) + "\n"


@click.command(cls=OurCommand, name="tag")
@click.argument("name")
@_LIMIT
@_BEFORE
@pass_context
def tag_command(context: Context, name: str, limit: int, before: str | None) -> None:
    """Read the posts kept here that bear the tag NAME, newest first; with or without #."""
    with context.open() as node:
        items, older = _gather(lambda count, at: node.tagged(name, count, at), limit, before)
    for shown in items:
        context.emit(json_of(shown), text_of(shown, is_folded=True))
    if not items and not context.is_json:
        context.say(_nothing(before))
    _say_older(context, older, ["tag", f"#{name}" if name.startswith("-") else name], limit)


@click.command(cls=OurCommand, name="history")
@click.argument("record", metavar="ID")
@pass_context
def history_command(context: Context, record: str) -> None:
    """Read every version of the post ID, the one shown now last."""
    with context.open() as node:
        versions = node.history(record)
    for shown in versions:
        context.emit(json_of(shown), text_of(shown))


@click.command(cls=OurCommand, name="show")
@click.argument("record", metavar="ID")
@click.option("--raw", is_flag=True, help="The bytes of the signed entry block, nothing else.")
@pass_context
def show_command(context: Context, record: str, raw: bool) -> None:
    """Show the record ID."""
    with context.open() as node:
        if raw:
            sys.stdout.buffer.write(node.raw(record))
            sys.stdout.buffer.flush()
            return
        shown = node.show(record)
    context.emit(json_of(shown), text_of(shown))


@click.command(cls=OurCommand, name="status")
@pass_context
def status_command(context: Context) -> None:
    """Say how this home is, with or without a running node."""
    with context.open() as node:
        status = node.status()
        home, root_problem, now_ms = node.config.home, node.root_problem(), node.config.clock_ms()
        promised = node.kept() if status.promises else ()
    identity = status.identity
    alarms = identity.alarms if identity is not None else ()
    contested = identity.contested if identity is not None else 0
    unproven = identity.unproven if identity is not None else 0
    cut = count_cut(identity.devices) if identity is not None else 0
    value = {
        "home": str(home),
        "account": str(status.account) if status.account else None,
        "name": status.name,
        "words_waiting": status.words_waiting,
        "follows": status.follows,
        "records": status.records,
        "aid": status.last_aid,
        "running": status.network_running,
        "peer": status.peer,
        "listen": list(status.listen),
        "peers": status.peers_connected,
        "problem": status.problem or None,
        "silent": status.silent or None,
        "alarms": list(alarms),
        "contested": contested,
        "unproven": unproven,
        "cut_devices": cut,
        "local_only": status.local_only,
        "kept_by": asdict(status.kept),
        "keeps": {"accounts": status.promises, "problems": [json_of_kept(each) for each in promised if each.problem]},
        "outage": asdict(status.outage) if status.outage is not None else None,
        "limits_met": {met.name: met.count for met in status.limits_met},
        "keeps_root": status.keeps_root,
        "root_problem": root_problem or None,
    }
    lines = [
        f"home      {home}",
        f"account   {status.account or context.here(_NO_ACCOUNT)}",
        f"name      {display_name(status.name, status.account)}" if status.account is not None else "",
        f"keeps     {some(status.records, 'record')}; follows {status.follows:,}",
        f"node      running, {some(status.peers_connected, 'peer')} connected"
        if status.network_running
        else "node      not running (offline: everything but the network works)",
        outage_line(status.outage, now_ms) if status.outage is not None else "",
        *(f"listens   {address}" for address in status.listen),
        *limit_lines(status.limits_met),
        f"unsent    {some(status.local_only, 'record is', 'records are')} on this device only"
        if status.local_only
        else "",
        *(kept_lines(status.kept, promised) if status.account is not None else ()),
        *(f"account   {line}" for line in health_lines(contested, unproven, cut)),
        f"problem   {status.problem}" if status.problem else "",
        f"silent    signs no receipts, heads and cards: {status.silent}"
        if status.silent and status.silent != status.problem
        else "",
        f"root key  kept here and cannot be used: {root_problem}" if root_problem else "",
        *(f"alarm     {line}" for line in alarm_lines(alarms, is_own=True)),
        f"words     still wait in {status.words_waiting}: write them on paper, then: {context.here('unhush id check')}"
        if status.words_waiting
        else "",
    ]
    context.emit(value, "\n".join(line for line in lines if line))
