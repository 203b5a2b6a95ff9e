"""``keep``, ``keepers``, ``unkeep``: promises to carry accounts, and who carries mine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unhush.cli.asking import confirm
from unhush.cli.context import FILE, Context, OurCommand, WrongUse, check_one, expanded, pass_context
from unhush.cli.secrets import SigningCommand
from unhush.cli.shown import display_name, some, time_text
from unhush.node.names import clean_name

if TYPE_CHECKING:
    from unhush.identity.cid import Cid
    from unhush.node import Node
    from unhush.node.keeping.sizes import Share
    from unhush.node.keeping.verbs import KeptAll
    from unhush.node.views import KeeperInfo, KeepingOffer, KeptInfo, KeptSummary

_PROBLEMS: Final = 5  # told one by one in ``status``
# Ending more than one promise in so many at once is asked about: a list that was cut short looks like that.
_MANY_ONE_IN: Final = 10
_MEDIA: Final = click.Choice(["none", "90d", "all"])


@click.command(cls=SigningCommand, name="keep")
@click.argument("account", metavar="[ACCOUNT]", required=False)
@click.option("--budget", metavar="SIZE", help="How much room it may take, as 500MiB; 1GiB to begin with.")
@click.option(
    "--media", type=_MEDIA, help="Its pictures: none (to begin with), of 90 days, or all. They may take as much again."
)
@click.option("--offer", metavar="KEEPER", help="Ask KEEPER to keep your account, and take its word that it does.")
@click.option("--withdraw", metavar="KEEPER", help="Take that back.")
@click.option("--accept", metavar="ACCOUNT", help="Keep ACCOUNT, which asked for it.")
@click.option("--list", "is_listing", is_flag=True, help="List what is kept here, and who asks for it.")
@click.option("--from", "file", type=FILE, metavar="FILE", help="Keep every account of a list: one id a line.")
@click.option("--share", metavar="I/N", help="With --from: of N boxes this is number I, from 0, and keeps its part.")
@click.option("--update", is_flag=True, help="With --from: --budget and --media are for those kept already, too.")
@click.option("--exact", is_flag=True, help="As --update; and end all promises that the list does not name.")
@click.option("--yes", is_flag=True, help="With --exact: end many promises without being asked.")
@pass_context
def keep_command(
    context: Context,
    *,
    account: str | None,
    budget: str | None,
    media: str | None,
    offer: str | None,
    withdraw: str | None,
    accept: str | None,
    is_listing: bool,
    file: Path | None,
    share: str | None,
    exact: bool,
    update: bool,
    yes: bool,
) -> None:
    """Promise everyone to carry ACCOUNT (an id, or what you call them).

    A running node fetches all of it, serves it to whoever asks, and signs what it holds, up to which record and until
    when. It stops at the budget and says so; somebody you follow may take what they may anyway, if that is more. You
    need not follow the account. Run again, it changes what you name and nothing else. Undo: unhush unkeep ACCOUNT.
    """
    check_one(
        "Keep whom?",
        {
            "ACCOUNT": account,
            "--offer": offer,
            "--withdraw": withdraw,
            "--accept": accept,
            "--from": file,
            "--list": is_listing,
        },
    )
    if file is None:
        only = {"--share": share is not None, "--exact": exact, "--update": update}
        if given := [name for name, is_given in only.items() if is_given]:
            raise click.UsageError(f"{given[0]} goes with --from FILE.")
    if yes and not exact:
        raise click.UsageError("--yes goes with --from FILE --exact.")
    if (budget is not None or media is not None) and (offer or withdraw or is_listing):
        raise click.UsageError(
            "--budget and --media say what this node keeps; they go with an ACCOUNT, --accept or --from."
        )
    if update and budget is None and media is None:
        raise click.UsageError("--update changes what --budget or --media say; name one of them.")
    with context.open() as node:
        node.account()
        if is_listing:
            _print_kept(context, node)
        elif offer is not None:
            keeper = node.account_of(offer)
            node.offer_keeping(keeper)
            _say_asked(context, node, keeper)
        elif withdraw is not None:
            keeper = node.account_of(withdraw)
            node.withdraw_keeping(keeper)
            context.emit({"keeper": str(keeper), "asked": False}, "Taken back; what it holds stays with it.")
        elif file is not None:
            from unhush.node.keeping.sizes import parse_share

            accounts, part = _read_list(file), parse_share(share or "0/1")
            if exact and not yes:
                _ask_to_end(node, accounts, part)
            done = node.keep_all(accounts, budget, media, share=part, exact=exact, update=update)
            context.emit(_json_of_all(done), _say_all(done))
        elif accept is not None:
            _say_kept(context, node.accept_keeping(accept, budget, media), node)
        else:
            assert account is not None
            _say_kept(context, node.keep(account, budget, media), node)


@click.command(cls=OurCommand, name="unkeep")
@click.argument("account")
@pass_context
def unkeep_command(context: Context, account: str) -> None:
    """Take back the promise to carry ACCOUNT (an id, or what you call them).

    A running node tells everybody at once. What is here stays as long as there is room for it.
    """
    with context.open() as node:
        who = node.account_of(account)
        node.unkeep(who)
    context.emit({"account": str(who), "kept": False}, "You no longer promise to keep this account.")


@click.command(cls=OurCommand, name="keepers")
@click.argument("account", metavar="[ACCOUNT]", required=False)
@pass_context
def keepers_command(context: Context, account: str | None) -> None:
    """List who keeps your account, or ACCOUNT: what their receipts cover, and whether they showed that it is true."""
    with context.open() as node:
        who = node.account_of(account) if account is not None else node.account()
        keepers = node.keepers(who)
        is_own = who == node.status().account
    for each in keepers:
        context.emit(_json_of_keeper(each), _line_of_keeper(each, is_own=is_own))
    if not keepers and not context.is_json:
        context.say(
            "Nobody, as far as it is known here. Ask somebody: unhush keep --offer KEEPER"
            if is_own
            else "Nobody, as far as it is known here."
        )


def _ask_to_end(node: "Node", accounts: "tuple[Cid, ...]", share: "Share") -> None:
    """A person is asked before a list ends many promises; raises ``WrongUse`` where nobody can be."""
    ended, kept = node.count_unlisted(accounts, share)
    if accounts and ended * _MANY_ONE_IN > kept:
        what = f"{ended:,} of {some(kept, 'account')} kept here {'is' if ended == 1 else 'are'} not on the list"
        confirm(f"{what}. End those promises?", otherwise=f"{what}. To end those promises: --exact --yes")


def _read_list(file: Path) -> "tuple[Cid, ...]":
    from unhush.node.keeping.sizes import MAX_LIST_BYTES, parse_accounts

    try:
        with expanded(file).open("rb") as listed:
            data = listed.read(MAX_LIST_BYTES + 1)
    except FileNotFoundError as exc:
        raise WrongUse(f"There is no file {file}.") from exc
    except OSError as exc:
        raise WrongUse(f"{file} cannot be read: {exc.strerror}.") from exc
    return parse_accounts(data)


# -- text


def _say_kept(context: Context, kept: "KeptInfo", node: "Node") -> None:
    from unhush.node.keeping.sizes import MEDIA_WORDS, size_text

    runs = "" if node.status().network_running else " It begins when your node runs: unhush run."
    name = display_name(kept.name, kept.account)
    also = ""
    if kept.room_bytes > kept.budget_bytes:
        also = f" You follow them, so they may take {size_text(kept.room_bytes)}, as anybody you follow."
    text = f"You keep {name}: up to {size_text(kept.budget_bytes)}, {MEDIA_WORDS[kept.media]}.{also}{runs}"
    context.emit(json_of_kept(kept), f"{text} Undo: unhush unkeep {kept.account}")


def _say_asked(context: Context, node: "Node", keeper: "Cid") -> None:
    name = _name_of(node, keeper)
    text = f"You asked {name} to keep your account; their node shows it to them. See: unhush keepers."
    context.emit({"keeper": str(keeper), "asked": True}, f"{text} Undo: unhush keep --withdraw {keeper}")


def _name_of(node: "Node", account: "Cid") -> str:
    from unhush.node.errors import NotFound

    try:
        person = node.person(account)
    except NotFound:
        return display_name("", account)
    return display_name(person.petname or person.name, account)


def _say_all(done: "KeptAll") -> str:
    parts = [
        f"{done.new:,} new",
        f"{done.known:,} as before",
        f"{done.changed:,} changed" if done.changed else "",
        f"{done.elsewhere:,} of other boxes" if done.elsewhere else "",
        f"{done.dropped:,} no longer" if done.dropped else "",
    ]
    said = f"Accounts of the list kept here: {', '.join(each for each in parts if each)}."
    if done.differing:
        have = "has" if done.differing == 1 else "have"
        said += f" {done.differing:,} of them {have} another budget or media, which stay (--update changes that)."
    if done.unlisted:
        stay = "stays" if done.unlisted == 1 else "stay"
        said += f" {done.unlisted:,} that the list does not name {stay} kept (--exact ends that)."
    return said


def _print_kept(context: Context, node: "Node") -> None:
    kept = node.kept()
    offers = tuple(each for each in node.keeping_offers() if not each.is_kept)
    for each in kept:
        context.emit(json_of_kept(each), _line_of_kept(each))
    for offer in offers:
        context.emit(_json_of_offer(offer), _line_of_offer(offer))
    if not kept and not offers and not context.is_json:
        context.say("Nothing is kept here, and nobody asks. Keep somebody: unhush keep ACCOUNT")


def _line_of_kept(kept: "KeptInfo") -> str:
    from unhush.node.keeping.sizes import MEDIA_WORDS, size_text

    name = display_name(kept.name, kept.account)
    budget = size_text(kept.budget_bytes)
    if kept.room_bytes > kept.budget_bytes:
        budget = f"{size_text(kept.room_bytes)} (followed; budget {budget})"
    room = f"{size_text(kept.used_bytes)} of {budget}, {MEDIA_WORDS[kept.media]}"
    signed = f"receipt of {time_text(kept.receipt_ms)}" if kept.receipt_ms is not None else "no receipt yet"
    line = f"{kept.account} {name} · {room} · {some(kept.records, 'record')} · {signed}"
    return line + (f"\n  {clean_name(kept.problem)}" if kept.problem else "")


def _line_of_offer(offer: "KeepingOffer") -> str:
    name = display_name(offer.name, offer.account)
    return f"{offer.account} {name} · asks to be kept · unhush keep --accept {offer.account}"


def _line_of_keeper(keeper: "KeeperInfo", *, is_own: bool) -> str:
    name = display_name(keeper.name, keeper.account)
    marks = [
        _accepted_word(keeper),
        "followed by you" if keeper.is_followed else "",
        "" if keeper.is_accepted or keeper.is_followed else "neither asked nor followed, so not counted",
    ]
    receipt = "no receipt"
    if keeper.receipt_ms is not None:
        until = f", good until {time_text(keeper.until_ms)}" if keeper.until_ms is not None else ""
        receipt = f"receipt of {time_text(keeper.receipt_ms)}{until}"
    proven = f"proven {time_text(keeper.proven_ms)}" if keeper.is_proven and keeper.proven_ms is not None else ""
    said = "; ".join(mark for mark in marks if mark)
    hint = (
        f" · ask it, and take its word: unhush keep --offer {keeper.account}"
        if is_own and not keeper.is_accepted
        else ""
    )
    return (
        f"{keeper.account} {name} ({said})\n  {receipt} · covers {keeper.covers:,} of {some(keeper.records, 'record')}"
        f" · {proven or 'unproven: ' + clean_name(keeper.why)}{hint}"
        + "".join(
            f"\n  withholds {each.entry}: {clean_name(each.reason) or 'no reason is given'}" for each in keeper.withheld
        )
    )


def _accepted_word(keeper: "KeeperInfo") -> str:
    """Asked by the owner of the account; accepted is who answered that with a receipt."""
    if not keeper.is_accepted:
        return ""
    return "accepted" if keeper.receipt_ms is not None else "asked"


def kept_lines(summary: "KeptSummary", promised: "Sequence[KeptInfo]") -> list[str]:
    """Of ``unhush status``: how safe the account is, and what is wrong with the promises of this home."""
    if not summary.keepers:
        lines = ["kept      by nobody yet; ask somebody: unhush keep --offer KEEPER, unhush invite --keep"]
    else:
        keepers = some(summary.keepers, "proven keeper")
        lines = [
            f"kept      by {keepers}: {summary.by_one:,} of {some(summary.records, 'record')} by one or more, "
            f"{summary.by_two:,} by two; the least kept by {summary.least}"
        ]
    if promised:
        lines.append(f"keeping   {some(len(promised), 'account')} for others")
    problems = [each for each in promised if each.problem]
    for each in problems[:_PROBLEMS]:
        lines.append(f"keeping   {display_name(each.name, each.account)}: {clean_name(each.problem)}")
    if problems[_PROBLEMS:]:
        lines.append(f"keeping   {len(problems) - _PROBLEMS:,} more with a problem: unhush keep --list")
    return lines


# -- JSON


def json_of_kept(kept: "KeptInfo") -> dict[str, Any]:
    return {
        "account": str(kept.account),
        "name": kept.name,
        "kept": True,
        "budget": kept.budget_bytes,
        "room": kept.room_bytes,
        "used": kept.used_bytes,
        "media": kept.media,
        "since": kept.since_ms,
        "records": kept.records,
        "receipt": kept.receipt_ms,
        "until": kept.until_ms,
        "full": kept.is_full,
        "problem": kept.problem or None,
    }


def _json_of_offer(offer: "KeepingOffer") -> dict[str, Any]:
    return {
        "account": str(offer.account),
        "name": offer.name,
        "kept": offer.is_kept,
        "asked": True,
        "since": offer.since_ms,
    }


def _json_of_keeper(keeper: "KeeperInfo") -> dict[str, Any]:
    return {
        "keeper": str(keeper.account),
        "name": keeper.name,
        "asked": keeper.is_accepted,
        "accepted": keeper.is_accepted and keeper.receipt_ms is not None,
        "followed": keeper.is_followed,
        "receipt": keeper.receipt_ms,
        "until": keeper.until_ms,
        "covers": keeper.covers,
        "records": keeper.records,
        "proven": keeper.is_proven,
        "proven_at": keeper.proven_ms,
        "counts": keeper.counts,
        "why": keeper.why or None,
        "withheld": [{"id": str(each.entry), "reason": each.reason} for each in keeper.withheld],
    }


def _json_of_all(done: "KeptAll") -> dict[str, Any]:
    return {
        "new": done.new,
        "known": done.known,
        "changed": done.changed,
        "differing": done.differing,
        "elsewhere": done.elsewhere,
        "dropped": done.dropped,
        "unlisted": done.unlisted,
    }
