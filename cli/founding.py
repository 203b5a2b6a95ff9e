"""``init``: make an account, and make sure the words reach the person and nobody else."""

import sys
from pathlib import Path

import click

from unhush.cli.context import Context, OurCommand, is_terminal, pass_context
from unhush.cli.shown import display_name

_COLUMNS = 4


@click.command(cls=OurCommand, name="init")
@click.option("--name", required=True, help="What people see; you can change it later.")
@click.option(
    "--words-to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the recovery words in this new file (0600) instead of showing them.",
)
@pass_context
def init_command(context: Context, name: str, words_to: Path | None) -> None:
    """Make your account in this home.

    Twenty-four recovery words are made with it. They are the only way back if this
    machine is lost (recovery itself comes with a later release): on a terminal they are shown once; otherwise they
    wait in a file that only you can read.
    """
    from unhush.node.founding import check_home, found_account, generate_words

    config = context.config()
    is_shown = words_to is None and not context.is_json and is_terminal(sys.stdout)
    words = None
    if is_shown:
        check_home(config, name)  # nobody should copy out words of an account that then cannot be made
        words = generate_words(config)
        click.echo("These 24 words are your account. Write them on paper, in this order, now:\n")
        click.echo(_in_columns(words.text().split()) + "\n")
    created = found_account(config, name, words=words, words_to=words_to)
    called = display_name(created.name, created.account)
    context.emit(
        {"account": str(created.account), "device": str(created.device), "name": created.name},
        f"{called}, your account is\n{created.account}\n"
        "Give it to people, with an address of your node (unhush status, while it runs): so they follow you.",
    )
    if created.words_at is not None:
        context.say(f"Your 24 recovery words wait in {created.words_at}: write them on paper, then delete the file.")


def _in_columns(words: list[str]) -> str:
    cells = [f"{number:2}. {word:<10}" for number, word in enumerate(words, 1)]
    return "\n".join("  ".join(cells[at : at + _COLUMNS]) for at in range(0, len(cells), _COLUMNS))
