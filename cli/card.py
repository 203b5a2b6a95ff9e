"""``card``: where an account says that it is reached."""

from typing import TYPE_CHECKING

import click

from unhush.cli.context import Context, OurCommand, WrongUse, pass_context
from unhush.cli.shown import time_text

if TYPE_CHECKING:
    from unhush.node.views import CardInfo


@click.command(cls=OurCommand, name="card")
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option("--url", "urls", multiple=True, metavar="URL", help="Name this web address on your card.")
@click.option("--drop", "dropped", multiple=True, metavar="URL", help="Name it no more.")
@pass_context
def card_command(context: Context, account: str | None, urls: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    """Say where you are reached, or ACCOUNT (an id, or what you call them), as their machines signed it.

    A running node writes the card by itself. With --url it also names where your account can be found on the web, as a
    lifeboat you put somewhere. Everybody can read it; nobody has checked what is there.
    """
    if account is not None and (urls or dropped):
        raise WrongUse("--url and --drop change your own card, and go without an ACCOUNT.")
    with context.open() as node:
        card = node.change_card(urls, dropped) if urls or dropped else node.card(account)
    context.emit(
        {
            "account": str(card.account),
            "peers": list(card.peers),
            "urls": list(card.urls),
            "said_ms": card.said_ms,
            "unsaid": list(card.unsaid),
        },
        _text_of(card),
    )


def _text_of(card: "CardInfo") -> str:
    lines = [*card.urls, *card.peers]
    if card.said_ms is not None:
        lines.append(f"signed {time_text(card.said_ms)}")
    else:
        lines.append("No card is known here yet; a running node signs one once it is reached somewhere.")
    lines += [f"{url} (on the card once the node runs)" for url in card.unsaid]
    return "\n".join(lines)
