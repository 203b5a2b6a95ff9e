"""``invite`` and ``accept``: how two people come to follow each other."""

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from unhush.cli.asking import can_ask, confirm
from unhush.cli.context import Context, WrongUse, is_terminal, pass_context
from unhush.cli.identity import draw_qr
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name, json_of_person, some, time_text
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.node import Person
    from unhush.node.people.invites import AcceptedInvite, GivenInvite, OpenInviteInfo, ReadInvite

_SPAN: Final = re.compile(r"([0-9]{1,6})([mhd])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}
# Shown by name before somebody says yes; an invite has no more.
_NAMED: Final = 32


@click.command(cls=SigningCommand, name="invite")
@click.option("--qr", is_flag=True, help="Draw it as a QR code too, to be read from the screen.")
@click.option("--expires", metavar="TIME", default="7d", show_default=True, help="How long it is good: 30m, 12h, 7d.")
@click.option(
    "--uses",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="How many people may accept it.",
)
@click.option("--list", "in_list", metavar="NAME", help="A list of up to 32 people to follow to begin with.")
@click.option(
    "--address", "addresses", multiple=True, metavar="MULTIADDR", help="Where else this node is reached, as by a name."
)
@click.option("--keep", "asks_keeping", is_flag=True, help="Ask whoever accepts it to keep your account.")
@click.option("--list-open", is_flag=True, help="List the invites that are good, and who accepted them.")
@click.option("--cancel", "cancelled", metavar="ID", help="End an invite; whom it brought stays followed.")
@pass_context
def invite_command(
    context: Context,
    *,
    qr: bool,
    expires: str,
    uses: int,
    in_list: str | None,
    addresses: tuple[str, ...],
    asks_keeping: bool,
    list_open: bool,
    cancelled: str | None,
) -> None:
    """Make an invite: whoever accepts it follows you, and your node follows back.

    It is a text, to be sent in a message or shown as a QR code. It is good once, for a week, unless you say otherwise;
    whoever has it can use it, so send it as you would send a key. Your node must run.
    """
    with context.open() as node:
        node.account()
        if cancelled is not None:
            node.cancel_invite(cancelled)
            context.emit({"cancelled": cancelled}, "It is good no more.")
        elif list_open:
            _print_open(context, node.invites())
        else:
            given = node.invite(
                expires_s=_parse_span(expires),
                uses=uses,
                in_list=in_list,
                addresses=addresses,
                asks_keeping=asks_keeping,
            )
            _print_given(context, given, with_qr=qr)


def _parse_span(text: str) -> int:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise WrongUse(f"--expires takes a number of minutes, hours or days, as 30m, 12h or 7d, not '{text}'.")
    return int(found[1]) * _SECONDS[found[2]]


def _print_given(context: Context, given: "GivenInvite", *, with_qr: bool) -> None:
    from unhush.gossip.proto.invites import wrap_invite

    value = {
        "id": given.id,
        "link": given.link,
        "text": wrap_invite(given.link),
        "account": str(given.account),
        "addresses": list(given.addresses),
        "starter": [str(each) for each in given.starter],
        "uses": given.uses,
        "until": given.until_ms,
        "keep": given.asks_keeping,
        "makeshift": given.is_makeshift,
    }
    # In capitals a QR code needs fewer dots, and it means the same.
    drawn = f"{draw_qr(given.link.upper())}\n\n" if with_qr else ""
    context.emit(value, f"{drawn}{given.link}")
    if not context.is_json:
        people = "one person" if given.uses == 1 else f"{given.uses} people"
        context.say(f"\nGood for {people} until {time_text(given.until_ms)}. They run: unhush accept INVITE")
        if given.asks_keeping:
            context.say("It asks them to keep your account, too: unhush accept --keep INVITE")
        context.say(f"To end it: unhush invite --cancel {given.id}")
        if given.is_makeshift:
            context.say(
                "The usual port was taken when your node started, so these addresses are good only until it ends, and "
                "the invite with them. End what has the port, or choose one: unhush run --listen MULTIADDR"
            )
        if not any(_is_beyond(address) for address in given.addresses):
            context.say(
                "It carries no address outside this machine: let the node listen on others, or name one: --address"
            )


def _is_beyond(address: str) -> bool:
    from unhush.gossip.proto.addresses import Scope, parse_address

    return parse_address(address).scope is not Scope.LOOPBACK


def _print_open(context: Context, given: "tuple[OpenInviteInfo, ...]") -> None:
    good = [each for each in given if len(each.accepted) < each.uses]
    for each in good:
        value = {
            "id": each.id,
            "made": each.made_ms,
            "until": each.until_ms,
            "uses": each.uses,
            "accepted": [json_of_person(person) for person in each.accepted],
            "starter": each.starter,
            "keep": each.asks_keeping,
        }
        accepted = ", ".join(_name(person) for person in each.accepted)
        text = f"{each.id}  until {time_text(each.until_ms)}  used {len(each.accepted)} of {each.uses}"
        asks = "  asks to be kept" if each.asks_keeping else ""
        context.emit(value, text + asks + (f"  by {accepted}" if accepted else ""))
    if context.is_json:
        return
    if used := len(given) - len(good):
        context.say(f"Used up: {some(used, 'invite')}.")
    if not good:
        context.say("No invite is open. Make one: unhush invite")


@click.command(cls=SigningCommand, name="accept")
@click.argument("invite", metavar="[INVITE]", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--starter/--no-starter", default=None, help="Follow the people it names to begin with, too (or not).")
@click.option("--keep", "keep", is_flag=True, help="Keep their account, too: promise everyone to carry it.")
@click.option("--petname", metavar="NAME", help="What you call the inviter; only you see it.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for their node.",
)
@click.option("--list", "is_listing", is_flag=True, help="List the invites you accepted and what became of them.")
@pass_context
def accept_command(
    context: Context,
    *,
    invite: tuple[str, ...],
    yes: bool,
    starter: bool | None,
    keep: bool,
    petname: str | None,
    wait: float,
    is_listing: bool,
) -> None:
    """Accept an INVITE: follow whoever gave it; their node follows you back.

    INVITE is the text as it came, with line breaks and quote marks or without; '-' reads it from the input. If the
    inviter's node cannot be reached now, yours goes on trying until the invite ends.
    """
    with context.open() as node:
        node.account()
        if is_listing:
            _print_accepted(context, node.accepted())
            return
        read = node.read_invite(_take_text(invite))
        if not context.is_json:
            context.say(_explain(read))
        if not yes:
            confirm("Accept it?", otherwise="To accept it without being asked: --yes")
        if starter is None:
            starter = bool(read.starter) and (yes or not can_ask() or _wants_starter(read))
        chosen = frozenset(person.account for person in read.starter) if starter else frozenset()
        is_running = node.status().network_running  # and goes on when this command has ended
        accepted = node.accept(read, petname=petname, starter=chosen, timeout_s=wait, keep=keep)
    value = _json_of_accepted(accepted) | {
        "fingerprint": list(read.fingerprint),
        "asks_keeping": read.asks_keeping,
        "kept": keep,
    }
    context.emit(value, _say_accepted(accepted, is_running=is_running) + _say_keeping(read, keep=keep))
    if accepted.state == "refused":
        raise click.exceptions.Exit(1)


def _take_text(given: tuple[str, ...]) -> str:
    from unhush.gossip.proto.invites import MAX_PASTED_CHARS

    if given not in ((), ("-",)):
        return " ".join(given)
    if not given and is_terminal(sys.stdin):
        raise WrongUse("Which one? unhush accept INVITE, or - to read it from the input.")
    return sys.stdin.buffer.read(4 * MAX_PASTED_CHARS).decode("utf-8", "replace")


def _wants_starter(read: "ReadInvite") -> bool:
    people = "the person" if len(read.starter) == 1 else f"the {len(read.starter)} people"
    return click.confirm(f"Also follow {people} it names?", default=True, err=True)


def _explain(read: "ReadInvite") -> str:
    """All that accepting will do, before it is done."""
    known = read.person
    said = display_name(read.name, read.account)
    lines = [
        f"An invite by    {said}" + (f" (you know this account as {_name(known)})" if known.name else ""),
        f"account         {read.account}",
        f"fingerprint     {' '.join(read.fingerprint)}",
        f"good until      {time_text(read.until_ms)}" + (", so it is over" if read.is_over else ""),
        *(f"reached at      {address}" for address in read.addresses),
        *(
            [f"The name is like that of {clean_name(read.imitates)}, whom you know; this is another account."]
            if read.imitates
            else []
        ),
        "The name is what they say; the fingerprint is who they are: compare it if you can.",
        "Accepting follows them, and tells their node, which follows you back.",
        *(
            ["They also ask you to keep their account, for everyone; you do that with --keep."]
            if read.asks_keeping
            else []
        ),
    ]
    if read.starter:
        lines.append(f"It names {len(read.starter)} more to follow to begin with:")
        lines += [f"  {_name(person)}  {person.account}" for person in read.starter[:_NAMED]]
    return "\n".join(lines)


def _say_accepted(accepted: "AcceptedInvite", *, is_running: bool) -> str:
    from unhush.node.people.invites import why_refused

    name = _name(accepted.person)
    undo = f"To take it back: unhush unfollow {accepted.person.account}"
    others = len(accepted.followed) - (accepted.person.account in accepted.followed)
    also = f" You also follow {others} more." if others else ""
    match accepted.state:
        case "mutual":
            return f"You and {name} follow each other.{also} {undo}"
        case "refused":
            return f"You follow {name}, and they do not follow back: {why_refused(accepted.why)}.{also} {undo}"
        case _:
            goes_on = "your node goes on trying" if is_running else "your node tries whenever it runs (unhush run)"
            until = time_text(accepted.until_ms)
            return f"You follow {name}. Their node was not reached yet; {goes_on}, until {until}.{also} {undo}"


def _say_keeping(read: "ReadInvite", *, keep: bool) -> str:
    if keep:
        return f"\nYou keep their account. To take that back: unhush unkeep {read.account}"
    return f"\nThey ask you to keep their account: unhush keep {read.account}" if read.asks_keeping else ""


def _print_accepted(context: Context, accepted: "tuple[AcceptedInvite, ...]") -> None:
    for each in accepted:
        context.emit(
            _json_of_accepted(each),
            f"{each.state:<9}{_name(each.person)}  {each.person.account}  until {time_text(each.until_ms)}",
        )
    if not accepted and not context.is_json:
        context.say("No invite was accepted here.")


def _json_of_accepted(accepted: "AcceptedInvite") -> dict[str, Any]:
    return {
        "account": str(accepted.person.account),
        "name": accepted.person.name,
        "petname": accepted.person.petname,
        "state": accepted.state,
        "why": accepted.why or None,
        "since": accepted.since_ms,
        "until": accepted.until_ms,
        "followed": [str(each) for each in accepted.followed],
    }


def _name(person: "Person") -> str:
    return display_name(person.petname or person.name, person.account)
