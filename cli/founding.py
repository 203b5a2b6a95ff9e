"""``init``: make an account, and make sure the words reach the person and nobody else."""

import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from unhush.cli.asking import ask_hidden, can_ask, passing_screen
from unhush.cli.context import FILE, Context, WrongUse, is_terminal, pass_context
from unhush.cli.secrets import SigningCommand, ask_new_passphrase, no_passphrase_option
from unhush.cli.shown import display_name

if TYPE_CHECKING:
    from unhush.identity.words import Words

_COLUMNS: Final = 4
# Three of 24 cannot be guessed, and are few enough that nobody skips them.
_CHECKED: Final = 3
_WORDS: Final = 24


@click.command(cls=SigningCommand, name="init")
@click.option("--name", required=True, help="What people see; you can change it later.")
@click.option("--words-to", type=FILE, help="Keep the recovery words in this new file (0600) instead of showing them.")
@no_passphrase_option
@click.option(
    "--keep-root-key", is_flag=True, help="Keep the root key here, sealed: to add and revoke devices without the words."
)
@pass_context
def init_command(context: Context, name: str, words_to: Path | None, no_passphrase: bool, keep_root_key: bool) -> None:
    """Make your account in this home.

    Twenty-four recovery words are made with it. They are the only way back if this machine is lost: on a terminal
    they are shown once and three of them asked for; otherwise they wait in a file that only you can read.
    """
    from unhush.node.account.founding import check_home, found_account, generate_words
    from unhush.node.config import Home

    is_asked = not context.is_json and can_ask()
    check_home(context.config(), name)  # nobody should copy out words of an account that then cannot be made
    passphrase = new_passphrase(context, no_passphrase=no_passphrase, is_asked=is_asked)
    config = context.config(passphrase=passphrase)
    if keep_root_key and passphrase is None:
        raise WrongUse("The root key is kept sealed or not at all: give a passphrase with --keep-root-key.")
    if passphrase is not None and is_asked and not keep_root_key:
        keep_root_key = _ask_for_root_key()
    words = None
    # Words that an unfinished attempt left behind are used again, and wait where they are.
    if is_asked and is_terminal(sys.stdout) and words_to is None and not Home(config.home).words.exists():
        words = generate_words(config)
        words_to = None if _show_and_check(words) else Home(config.home).words
    created = found_account(config, name, words=words, words_to=words_to, keep_root=keep_root_key)
    called = display_name(created.name, created.account)
    context.emit(
        {"account": str(created.account), "device": str(created.device), "name": created.name},
        f"{called}, your account is\n{created.account}\n"
        "Start your node: unhush run. So that somebody follows you, while it runs: unhush invite",
    )
    if created.words_at is not None:
        context.say(
            f"Your 24 recovery words wait in {created.words_at}: write them on paper, "
            f"then: {context.here('unhush id check')} (which erases the file)"
        )


def new_passphrase(context: Context, *, no_passphrase: bool, is_asked: bool) -> "Callable[[], str] | None":
    """What the first key of a home will be sealed with; None for nothing, which is said."""
    from unhush.node.account.secrets import read_passphrase

    if no_passphrase:
        if context.passphrase_file is not None:
            raise WrongUse("Either a passphrase or none: --passphrase-file and --no-passphrase exclude each other.")
        return None
    if context.passphrase_file is not None:
        given = read_passphrase(context.passphrase_file)
        return lambda: given
    if is_asked:
        context.say("A passphrase seals the key of this device, so that who steals the disk cannot write as you.")
        typed = ask_new_passphrase("A new passphrase (empty for none)")
        if typed is not None:
            return lambda: typed
    context.say("The key of this device is not sealed with a passphrase; to seal it: unhush id passphrase")
    return None


def _ask_for_root_key() -> bool:
    click.echo(
        "The root key adds and revokes devices. Kept here, sealed, it spares you the 24 words for that; "
        "a thief of this machine who learns the passphrase could use it until you rotate.",
        err=True,
    )
    return click.confirm("Keep the root key on this machine?", default=False, err=True)


def _show_and_check(words: "Words") -> bool:
    """Show the words, and whether the person has them on paper."""
    listed = words.text().split()
    with passing_screen():
        click.echo("These 24 words are your account. Write them on paper, in this order, now:\n")
        click.echo(_in_columns(listed) + "\n")
        ask_hidden("When they are on paper, press Enter: they are shown only once, and three are asked for")
    wrong = ask_three(listed)
    if wrong is not None:
        click.echo(f"Word {wrong} is another one.", err=True)
    return wrong is None


def ask_three(words: list[str]) -> int | None:
    """Ask for three of the words by their numbers; the number of the first that is wrong, None if all are right."""
    for position in sorted(secrets.SystemRandom().sample(range(1, _WORDS + 1), _CHECKED)):
        if ask_hidden(f"Word {position}").strip().lower() != words[position - 1]:
            return position
    return None


def _in_columns(words: list[str]) -> str:
    cells = [f"{number:2}. {word:<10}" for number, word in enumerate(words, 1)]
    return "\n".join("  ".join(cells[at : at + _COLUMNS]) for at in range(0, len(cells), _COLUMNS))
