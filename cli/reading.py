"""``timeline``, ``thread``, ``show``, ``status``: looking, never changing."""

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from unhush.cli.context import Context, OurCommand, pass_context
from unhush.cli.shown import display_name, json_of, text_of
from unhush.cli.standing import alarm_lines, count_cut, health_lines, records_are

if TYPE_CHECKING:
    from unhush.node import Node


_NO_ACCOUNT = "none yet; make one with: unhush init --name NAME; or: unhush restore, unhush device join"


@click.command(cls=OurCommand, name="timeline")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many records.")
@click.option("--follow", is_flag=True, help="Oldest first, and go on printing what arrives until stopped.")
@pass_context
def timeline_command(context: Context, limit: int, follow: bool) -> None:
    """Read the people you follow and yourself, newest first."""
    with context.open() as node:
        node.account()
        since = node.last_aid()
        page = node.timeline(limit)
        items, cursor = list(page.items), page.next
        while cursor and len(items) < limit:
            page = node.timeline(limit - len(items), cursor)
            items, cursor = items + list(page.items), page.next
        for shown in reversed(items) if follow else items:
            context.emit(json_of(shown), text_of(shown))
        if not items and not follow and not context.is_json:
            context.say("Nothing here yet. Follow somebody: unhush follow ACCOUNT; or say something: unhush post TEXT")
        if follow:
            sys.stdout.flush()
            # What came while we read the page is on it and after ``since``.
            with contextlib.suppress(KeyboardInterrupt):  # the one way to end it, and no failure
                _go_on(context, node, since, printed={shown.aid for shown in items})


def _go_on(context: Context, node: "Node", since: int, printed: set[int]) -> None:
    for shown in node.events(since, home_only=True):
        if shown.aid not in printed:
            context.emit(json_of(shown), text_of(shown))
            sys.stdout.flush()


@click.command(cls=OurCommand, name="thread")
@click.argument("record", metavar="ID")
@pass_context
def thread_command(context: Context, record: str) -> None:
    """Read the whole conversation that the record ID belongs to."""
    with context.open() as node:
        thread = node.thread(record)
    if thread.root is not None:
        context.emit(json_of(thread.root), text_of(thread.root))
    elif not context.is_json:
        context.say(f"The post this began with ({thread.root_id}) is not here.")
    for reply in thread.replies:
        context.emit(json_of(reply), text_of(reply, indent="    "))


@click.command(cls=OurCommand, name="show")
@click.argument("record", metavar="ID")
@click.option("--raw", is_flag=True, help="The bytes of the signed entry block, nothing else.")
@pass_context
def show_command(context: Context, record: str, raw: bool) -> None:
    """Show the record ID."""
    with context.open() as node:
        if raw:
            sys.stdout.buffer.write(node.block(record))
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
        home, root_problem = node.config.home, node.root_problem()
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
        "alarms": list(alarms),
        "contested": contested,
        "unproven": unproven,
        "cut_devices": cut,
        "local_only": status.local_only,
        "keeps_root": status.keeps_root,
        "root_problem": root_problem or None,
    }
    lines = [
        f"home      {home}",
        f"account   {status.account or _NO_ACCOUNT}",
        f"name      {display_name(status.name, status.account)}" if status.account is not None else "",
        f"keeps     {status.records} records; follows {status.follows}",
        f"node      running, {status.peers_connected} peers connected"
        if status.network_running
        else "node      not running (offline: everything but the network works)",
        *(f"listens   {address}" for address in status.listen),
        f"unsent    {records_are(status.local_only)} on this device only" if status.local_only else "",
        *(f"account   {line}" for line in health_lines(contested, unproven, cut)),
        f"problem   {status.problem}" if status.problem else "",
        f"root key  kept here and cannot be used: {root_problem}" if root_problem else "",
        *(f"alarm     {line}" for line in alarm_lines(alarms, is_own=True)),
        f"words     still wait in {status.words_waiting}: write them on paper, then: unhush id check"
        if status.words_waiting
        else "",
    ]
    context.emit(value, "\n".join(line for line in lines if line))
