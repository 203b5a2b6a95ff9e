"""``search``: posts by their words."""

from datetime import UTC, datetime
from typing import Final

import click

from unhush.cli.context import Context, OurCommand, WrongUse, pass_context
from unhush.cli.shown import json_of, text_of

_HELP = """Find posts in which all WORDS are, newest first.

\b
  word          this word, in any case, with or without accents
  "a phrase"    these words, one after the other
  begin*        words that begin so; three letters at least
  -word         posts without it (put -- before WORDS that begin so)

Any part of a text in Chinese, Japanese, Korean or Thai is found. --best compares the newest 1,000 posts in which all
words are; without it, all posts are looked through.
"""

_NO_WORDS: Final = (
    "Say at least one word to look for. All posts with a tag: unhush tag NAME; all of one account: "
    "unhush timeline --of WHO"
)


@click.command(cls=OurCommand, name="search", help=_HELP)
@click.argument("words", metavar="WORDS...", nargs=-1)
@click.option("--by", metavar="WHO", help="Only what one account posted: an id, or what you call them.")
@click.option("--tag", help="Only posts with this tag.")
@click.option("--since", metavar="TIME", help="Not before this day or time, as 2026-05-31 or 2026-05-31T18:00.")
@click.option("--until", metavar="TIME", help="Before this day or time.")
@click.option("--best", is_flag=True, help="The posts that say most of it first.")
@click.option("--limit", "-n", type=click.IntRange(1, 500), default=20, show_default=True, help="How many posts.")
@click.option("--before", metavar="CURSOR", help="Go on where another search ended.")
@pass_context
def search_command(
    context: Context,
    *,
    words: tuple[str, ...],
    by: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    best: bool,
    limit: int,
    before: str | None,
) -> None:
    from unhush.node.errors import NothingToSearch

    if not words:
        raise WrongUse(_NO_WORDS)
    since_ms, until_ms = _time_ms("--since", since), _time_ms("--until", until)
    with context.open() as node:
        try:
            page = node.search(
                _joined(words), by=by, tag=tag, since=since_ms, until=until_ms, ranked=best, limit=limit, before=before
            )
        except NothingToSearch as exc:
            raise WrongUse(str(exc)) from exc
    for shown in page.items:
        context.emit(json_of(shown), text_of(shown))
    if not page.items and not context.is_json:
        context.say("Nothing was found." if page.next is None else "Nothing was found so far.")
    if page.is_cut:
        context.say("That is more than a search takes; its end was left out.")
    if page.behind:
        context.say(
            f"{page.behind:,} records are not searched yet: search again, or leave the node running (unhush run)."
        )
    if page.next is not None:
        context.say(f"More: the same with --before {page.next}")


def _joined(words: tuple[str, ...]) -> str:
    """What the shell gave as one word, but has spaces, was quoted there: a phrase, unless it has quotes of its own."""
    return " ".join(f'"{word}"' if " " in word.strip() and '"' not in word else word for word in words)


def _time_ms(option: str, text: str | None) -> int | None:
    """Unix milliseconds of a day or time, as the person's clock shows it unless it names a zone."""
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text.strip()).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise WrongUse(f"{option} {text[:60]!r} is no day or time; write it as 2026-05-31 or 2026-05-31T18:00") from exc
