"""``profile set`` and ``profile show``."""

from pathlib import Path

import click

from unhush.cli.context import FILE, Context, OurGroup, WrongUse, expanded, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name, json_of_person, some
from unhush.cli.standing import alarm_lines, health_lines


@click.group(cls=OurGroup, name="profile")
def profile_command() -> None:
    """Show a profile, or set your own."""


@profile_command.command(name="set", cls=SigningCommand)
@click.option("--name", help="What people see.")
@click.option("--bio", help="A few words about yourself.")
@click.option("--avatar", type=FILE, help="Your portrait: a picture.")
@click.option("--no-avatar", "is_without", is_flag=True, help="Take your portrait away.")
@pass_context
def set_command(context: Context, name: str | None, bio: str | None, avatar: Path | None, is_without: bool) -> None:
    """Change your own profile; what you do not name stays."""
    if name is None and bio is None and avatar is None and not is_without:
        raise click.UsageError("Say what to change: --name, --bio, --avatar or --no-avatar.")
    if avatar is not None and is_without:
        raise WrongUse("--avatar and --no-avatar do not go together.")
    with context.open() as node:
        if is_without:
            person = node.drop_avatar()
        if name is not None or bio is not None or avatar is not None:
            portrait = node.attach(expanded(avatar)) if avatar is not None else None
            person = node.set_profile(name, bio, portrait)
    context.emit(json_of_person(person), f"You are {display_name(person.name, person.account)}.")


@profile_command.command(name="show")
@click.argument("account", required=False)
@pass_context
def show_command(context: Context, account: str | None) -> None:
    """Show the profile of ACCOUNT (an id, or what you call them), or your own."""
    from unhush.node.names import clean_name, clean_text

    with context.open() as node:
        person = node.person(node.account_of(account) if account else node.account())
    lines = [
        display_name(person.name, person.account)
        + (f" (you call them {clean_name(person.petname)})" if person.petname else ""),
        *([clean_text(person.bio)] if person.bio else []),
        f"{person.account}",
        f"{some(person.posts, 'post')} kept here" + ("; you follow them" if person.is_followed else ""),
        *health_lines(person.contested, person.unproven, person.cut_devices),
        *(f"alarm: {line}" for line in alarm_lines(person.alarms, is_own=person.is_own)),
    ]
    context.emit(json_of_person(person), "\n".join(lines))
