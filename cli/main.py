"""The ``unhush`` command: options for all, the list of commands, and what an error becomes.

Commands are loaded when they are called, so that ``--help`` is instant and a
command that stays off the network never imports it.
"""

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from unhush import __version__
from unhush.cli.codes import FAILED, NO_SECRET, NOT_FOUND, UNREACHED, UNSOUND, WRONG_USE
from unhush.cli.context import FILE, Context, expanded

# Where each command lives, and what `unhush --help` says of it.
COMMANDS: Final = {
    "init": ("founding", "Make your account in this home."),
    "id": ("identity", "Your account: show it, check its words, seal its keys."),
    "device": ("devices", "The devices that may speak for your account: list, add, revoke, renew."),
    "restore": ("restoring", "Bring your account to a new machine, from its 24 words."),
    "rotate": ("devices", "New keys for the account after a theft; only the 24 words can do it."),
    "identity": ("identity", "Freeze the account, or read its stored operations."),
    "run": ("running", "Run the node: connect, sync, and serve the local page."),
    "open": ("opening", "Say an address that opens the page of the running node, once."),
    "post": ("writing", "Publish a post."),
    "reply": ("writing", "Answer a record."),
    "quote": ("acting", "Publish a post that shows another beneath itself."),
    "edit": ("acting", "Give a post of your own other words."),
    "delete": ("acting", "Take back records of your own, whatever they did."),
    "repost": ("acting", "Show a post to those who follow you."),
    "unrepost": ("acting", "Take a repost back."),
    "react": ("acting", "React to a post with an emoji."),
    "unreact": ("acting", "Take a reaction back."),
    "timeline": ("reading", "Read the people you follow, newest first; or one account, or a list."),
    "thread": ("reading", "Read a whole conversation."),
    "activity": ("reading", "Read what others did with you and your posts."),
    "tag": ("reading", "Read the posts that bear a tag."),
    "history": ("reading", "Read every version of a post."),
    "show": ("reading", "Show one record."),
    "search": ("searching", "Find posts by their words."),
    "invite": ("invites", "Make an invite: who accepts it follows you, and your node follows back."),
    "accept": ("invites", "Accept an invite: follow whoever gave it, and be followed back."),
    "follow": ("writing", "Follow an account."),
    "unfollow": ("writing", "End following an account."),
    "follows": ("circle", "List whom you follow, or whom somebody else does."),
    "followers": ("circle", "List who follows you, or somebody else, as far as it is known here."),
    "mute": ("circle", "Keep somebody out of your timeline; nobody hears of it."),
    "unmute": ("circle", "End a mute."),
    "block": ("circle", "As mute, and fold away what they write in threads."),
    "unblock": ("circle", "End a block."),
    "keep": ("keeping", "Promise everyone to carry an account, or ask somebody to carry yours."),
    "unkeep": ("keeping", "Take such a promise back."),
    "keepers": ("keeping", "List who keeps your account, and what they have shown."),
    "audit": ("auditing", "Say whether all of an account is here, who withholds what, and show it to others."),
    "withhold": ("withholding", "Do without the body of a record here, and say so."),
    "list": ("lists", "Lists of people to read by themselves; they stay on this machine."),
    "media": ("media", "Save a picture of a post to a file."),
    "profile": ("profiles", "Show a profile, or set your own."),
    "card": ("card", "Say where you, or somebody else, are reached: machines and web addresses."),
    "peers": ("peers", "The machines you know: list, add, remove, ping."),
    "sync": ("syncing", "Look now for what the people you follow or keep wrote."),
    "drill": ("drill", "Rehearse a loss: who finds the account again, and what to do about it."),
    "doctor": ("doctor", "Say whether others reach this node, and what to do about what is not well."),
    "status": ("reading", "Say how this home is, with or without a running node."),
    "storage": ("room", "Say who takes what of this disk."),
    "gc": ("room", "Drop what has had its time, and make room."),
    "export": ("files", "Write an account to a file."),
    "import": ("files", "Take an account in from a file."),
    "verify": ("maintenance", "Check everything kept here against hashes, signatures and chains; or a file."),
    "backup": ("maintenance", "Write everything but the keys into one file."),
    "compact": ("maintenance", "Make the database file smaller."),
    "index": ("maintenance", "Make the indexes anew from the records."),
}


# Options for all commands, which people look for among those of one. --json is taken there too.
_BEFORE_THE_COMMAND: Final = frozenset({"--home", "--passphrase-file"})


class LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"unhush.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx) from exc


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Where this node lives (UNHUSH_HOME).")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, one object a line.")
@click.option(
    "--passphrase-file", type=FILE, help="A file that holds the passphrase (UNHUSH_PASSPHRASE_FILE names it)."
)
@click.version_option(__version__, message="unhush %(version)s")
@click.pass_context
def unhush_command(ctx: click.Context, home: Path | None, is_json: bool, passphrase_file: Path | None) -> None:
    """A voice that no single host can take offline.

    Your account is a key on this machine; what you post is signed, and whoever follows you keeps it.
    """
    context = ctx.ensure_object(Context)
    context.given_home = home
    context.is_json = is_json
    context.home = _expanded(home or _path_from("UNHUSH_HOME"))
    context.passphrase_file = _expanded(passphrase_file or _path_from("UNHUSH_PASSPHRASE_FILE"))


def _path_from(variable: str) -> Path | None:
    """A path that the environment names; secrets themselves are never taken from there."""
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _expanded(path: Path | None) -> Path | None:
    return expanded(path) if path is not None else None


def main() -> NoReturn:
    """The program: run the command, turn errors into one line and an exit code."""
    _set_up_logging(os.environ.get("UNHUSH_LOG", "error"))
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    context = Context()
    try:
        result: Any = unhush_command.main(arguments, prog_name="unhush", standalone_mode=False, obj=context)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return FAILED
    except click.NoSuchOption as exc:
        _with_place(exc).show()
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except OSError as exc:
        click.echo(f"unhush: {exc.strerror}: {exc.filename}" if exc.filename else f"unhush: {exc}", err=True)
        return FAILED
    except Exception as exc:  # noqa: BLE001  # what is not ours is raised again
        return _report(exc, context)
    return result if isinstance(result, int) else 0


def _with_place(error: click.NoSuchOption) -> click.NoSuchOption:
    """For an option that only stands before the command, where that is."""
    name = error.option_name
    if name not in _BEFORE_THE_COMMAND:
        return error
    return click.NoSuchOption(name, f"{name} stands before the command: unhush {name} … COMMAND", ctx=error.ctx)


def _report(error: Exception, context: Context) -> int:
    """One line for what we expected could go wrong; anything else is our bug and is shown whole."""
    from unhush.node import errors

    if not isinstance(error, errors.UnhushError):
        raise error
    click.echo(f"unhush: {context.here(f'{error}{_next_step(error)}')}", err=True)
    match error:
        case errors.NotFound() | errors.NoAccount():
            return NOT_FOUND
        case errors.KeyFileError() | errors.BadWords() | errors.WordsNeeded():
            return NO_SECRET
        case errors.NotRunning() | errors.NobodyAnswered() | errors.NoPage():
            return UNREACHED
        case (
            errors.VerificationError()
            | errors.WrongNetwork()
            | errors.MalformedRequest()
            | errors.MalformedOperation()
            | errors.MalformedCar()
            | errors.MalformedBackup()
            | errors.MalformedLifeboat()
            | errors.BadEvidence()
            | errors.UnknownFile()
            | errors.StoreDamaged()
        ):
            return UNSOUND
        case (
            errors.MalformedCid()
            | errors.MalformedInvite()
            | errors.BadConfig()
            | errors.BadListName()
            | errors.BadPromise()
            | errors.NotYours()
            | errors.WithholdRefused()
            | errors.WrongKind()
        ):
            return WRONG_USE
        case _:
            return FAILED


def _next_step(error: Exception) -> str:
    """What only the command line knows: the option that helps."""
    from unhush.node import errors

    match error:
        case errors.KeySealed():
            return "; name a file that holds it: --passphrase-file FILE (or UNHUSH_PASSPHRASE_FILE)"
        case errors.WordsNeeded():
            return "; name a file that holds them, or - for the input: --words-from FILE"
        case errors.NotSynced():
            return "; an address of a node that has the account helps: unhush peers add MULTIADDR, or --peer"
    return ""


def _set_up_logging(level: str) -> None:
    known = logging.getLevelNamesMapping().get(level.upper(), logging.ERROR)
    logging.basicConfig(level=known, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)


__all__ = ["main", "run", "unhush_command"]
