"""``follows``, ``followers``, ``mute``, ``block``: people and what you make of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from unhush.cli.context import Context, OurCommand, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name, json_of_person
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.node import Person
    from unhush.node.views import People

_LIMIT = click.option("--limit", type=click.IntRange(1, 100_000), default=500, show_default=True, help="How many.")
_WHO = click.argument("who", metavar="WHO")


@click.command(cls=OurCommand, name="follows")
@click.argument("who", metavar="[WHO]", required=False)
@_LIMIT
@pass_context
def follows_command(context: Context, who: str | None, limit: int) -> None:
    """List whom you follow, or whom WHO does (an account id, or what you call them)."""
    with context.open() as node:
        if who is None:
            people = node.follows()[:limit]
        else:
            account = node.account_of(who)
            people = everybody(lambda count, after: node.follows_of(account, count, after), limit)
    print_people(context, people, "Nobody is followed, as far as it is known here.")


@click.command(cls=OurCommand, name="followers")
@click.argument("who", metavar="[WHO]", required=False)
@_LIMIT
@pass_context
def followers_command(context: Context, who: str | None, limit: int) -> None:
    """List who follows you, or WHO, as far as it is known here."""
    with context.open() as node:
        account = node.account_of(who) if who is not None else node.account()
        people = everybody(lambda count, after: node.followers(account, count, after), limit)
    print_people(context, people, "Nobody, as far as it is known here.")


@click.command(cls=OurCommand, name="mute")
@_WHO
@pass_context
def mute_command(context: Context, who: str) -> None:
    """Keep WHO out of your timeline, activity and tags; nobody hears of it."""
    with context.open() as node:
        person = node.mute(node.account_of(who))
    _emit(context, person, f"You no longer see {_name(person)}. Undo: unhush unmute {person.account}")


@click.command(cls=OurCommand, name="unmute")
@_WHO
@pass_context
def unmute_command(context: Context, who: str) -> None:
    """See WHO again."""
    with context.open() as node:
        person = node.unmute(node.account_of(who))
    _emit(context, person, f"You see {_name(person)} again.")


@click.command(cls=SigningCommand, name="block")
@_WHO
@click.option("--public", "is_public", is_flag=True, help="Tell everybody, with a signed record.")
@pass_context
def block_command(context: Context, who: str, is_public: bool) -> None:
    """As mute, and fold away what WHO writes in threads; a follow is not ended by it."""
    with context.open() as node:
        person = node.block(node.account_of(who), is_public=is_public)
    still = f" You still follow them: unhush unfollow {person.account}." if person.is_followed else ""
    _emit(context, person, f"{_name(person)} is blocked.{still} Undo: unhush unblock {person.account}")


@click.command(cls=SigningCommand, name="unblock")
@_WHO
@pass_context
def unblock_command(context: Context, who: str) -> None:
    """End a block, also what was told of it."""
    with context.open() as node:
        person = node.unblock(node.account_of(who))
    _emit(context, person, f"{_name(person)} is no longer blocked.")


def everybody(turn: "Callable[[int, str | None], People]", limit: int) -> "tuple[Person, ...]":
    """People page by page, until there are enough."""
    people: tuple[Person, ...] = ()
    after: str | None = None
    while len(people) < limit:
        page = turn(limit - len(people), after)
        people += page.items
        after = page.next
        if after is None:
            break
    return people


def print_people(context: Context, people: "tuple[Person, ...]", nobody: str) -> None:
    for person in people:
        context.emit(json_of_person(person), _line(person))
    if not people and not context.is_json:
        context.say(nobody)


def _line(person: "Person") -> str:
    marks = [
        f"you call them {clean_name(person.petname)}" if person.petname and clean_name(person.name) else "",
        "you" if person.is_own else "",
        "muted" if person.is_muted else "",
        "blocked" if person.is_blocked else "",
    ]
    said = "; ".join(mark for mark in marks if mark)
    return f"{person.account} {_own_name(person)}" + (f" ({said})" if said else "")


def _own_name(person: "Person") -> str:
    return display_name(person.name or person.petname, person.account)


def _name(person: "Person") -> str:
    return display_name(person.petname or person.name, person.account)


def _emit(context: Context, person: "Person", sentence: str) -> None:
    context.emit(json_of_person(person), sentence)
