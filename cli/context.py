"""What every command shares: the home, how to print, and the ``--json`` switch wherever it stands."""

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from unhush.cli.codes import WRONG_USE

if TYPE_CHECKING:
    from unhush.node import Config, Node

# JSON escapes C0 controls itself; these could still steer a terminal or turn a line around.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_A_COMMAND: Final = re.compile(r"\bunhush ([a-z]+)\b")

FILE: Final = click.Path(path_type=Path, dir_okay=False)
account_option = click.option("--account", metavar="ACCOUNT", help="Whose; your own if you name none.")
force_option = click.option("--force", is_flag=True, help="Write over FILE if it is there already.")


@dataclass(slots=True)
class Context:
    """One call of the command line."""

    home: Path | None = None
    is_json: bool = False
    passphrase_file: Path | None = None  # a file that holds the passphrase of this home
    given_home: Path | None = None  # by --home, as it was written: what comes next needs it too

    def config(self, **settings: Any) -> "Config":
        """The settings of this call; a sealed key is opened with the passphrase from wherever it is to be had."""
        from unhush.cli.secrets import PassphraseSource
        from unhush.node.account.secrets import forbid_core_dumps
        from unhush.node.config import Config, default_home

        # Here and not in ``main``: no secret is read before, and ``--help`` never pays for loading the node.
        forbid_core_dumps()
        home = self.home or default_home()
        return Config(home=home, **{"passphrase": PassphraseSource(home, self.passphrase_file), **settings})

    def open(self, *, may_make: bool = False, **settings: Any) -> "Node":
        """The node of this home; a folder that is no home yet becomes one only by what brings something into it."""
        from unhush.node import Node
        from unhush.node.config import Home
        from unhush.node.errors import NoAccount

        config = self.config(**settings)
        if not may_make and not Home(config.home).store.exists():
            raise NoAccount(config.home)
        return Node(config)

    def emit(self, value: Mapping[str, Any], text: str) -> None:
        """Print one result: ``value`` for programs, ``text`` for people."""
        if self.is_json:
            click.echo(_UNSAFE.sub(_escape, json.dumps(value, ensure_ascii=False)))
        elif text:
            click.echo(text)

    def here(self, hint: str) -> str:
        """A hint in which every command is one for this home, whichever way that was named."""
        if self.given_home is None:
            return hint
        from unhush.cli.main import COMMANDS  # here, because it imports this module

        home = shlex.quote(str(self.given_home))
        return _A_COMMAND.sub(lambda it: f"unhush --home {home} {it[1]}" if it[1] in COMMANDS else it[0], hint)

    def say(self, text: str) -> None:
        """Something for the person, kept out of what programs read."""
        click.echo(text, err=True)


class WrongUse(click.ClickException):
    """What was asked does not go together, or wants an option; said in one line, without the usage of the command."""

    exit_code = WRONG_USE

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"unhush: {self.message}", err=True, file=file)


def check_one(question: str, given: Mapping[str, object]) -> None:
    """Exactly one thing is to be done; raises ``UsageError``, with ``question`` if none is named."""
    named = [name for name, value in given.items() if value not in (None, False)]
    if not named:
        *others, last = given
        raise click.UsageError(f"{question} Give {', '.join(others)} or {last}.")
    if len(named) > 1:
        raise click.UsageError(f"{named[0]} and {named[1]} do not go together; one thing at a time.")


def expanded(path: Path) -> Path:
    """A path with ``~`` and ``~user`` written out; raises ``WrongUse`` if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise WrongUse(f"{path} is in the home folder of a user who does not exist here.") from exc


def check_target(path: Path, *, force: bool) -> None:
    """Raises ``FileExists`` or ``StorageError``, before any work: a file is there already, or none can be written."""
    from unhush.node.errors import StorageError
    from unhush.node.wholefiles import refuse_existing

    if not force:
        refuse_existing(path)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StorageError(f"{path} cannot be written: its folder is not there, or is not yours to write in")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person sits at a standard stream; a closed one is None."""
    return stream is not None and stream.isatty()


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


class OurCommand(click.Command):
    """A command that takes ``--json`` after its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_json_option())


class OurGroup(click.Group):
    """A group of such commands, which takes it as well."""

    command_class = OurCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_json_option())


def _json_option() -> click.Option:
    return click.Option(["--json"], is_flag=True, expose_value=False, callback=_set_json, help="Print JSON.")


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_object(Context).is_json = True  # type: ignore[union-attr]  # the top group made it


pass_context = click.make_pass_decorator(Context)
