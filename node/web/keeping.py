"""The page of keeping: who keeps me and has shown it, what this node keeps for others, and the forms for both."""

from collections.abc import Callable
from contextlib import suppress
from math import pi
from typing import Final

from aiohttp import web
from markupsafe import Markup

from unhush.identity.cid import Cid
from unhush.identity.errors import UnhushError
from unhush.node.errors import NotFound
from unhush.node.keeping.sizes import USUAL_BUDGET
from unhush.node.names import LookAlikes
from unhush.node.views import KeeperInfo, KeepingOffer, KeptInfo
from unhush.node.web import pages
from unhush.node.web.desk import View, desk_of
from unhush.node.web.forms import fields, fit_account, fit_somebody
from unhush.node.web.seam import Verbs

# More arcs than this cannot be told apart on a ring; the number stands beside it.
MAX_ARCS: Final = 14
_USUAL: Final = {"who": "", "budget": USUAL_BUDGET, "media": "none"}
_RADIUS: Final = 46
_WIDEST_GAP: Final = 9.0

routes = web.RouteTableDef()


@routes.get("/kept")
async def kept(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, kept_view)


@routes.get("/kept/{act:ask|withdraw|accept|stop}/{account}")
async def step(request: web.Request) -> web.Response:
    """Who it is about and what it means, before it is done."""
    return await desk_of(request).page(request, step_view, request.match_info["act"], pages.cid_in(request, "account"))


@routes.post("/kept/{act:ask|withdraw|accept|stop}")
async def change(request: web.Request) -> web.Response:
    form, act = fields(request), request.match_info["act"]
    typed = form.get("who", "")

    def do(node: Verbs) -> str:
        match act:
            case "ask":
                node.offer_keeping(fit_somebody(node, typed))
            case "withdraw":
                node.withdraw_keeping(fit_account(typed))
            case "accept":
                node.accept_keeping(fit_account(typed), form.get("budget", ""), form.get("media", ""))
            case _:
                node.unkeep(fit_account(typed))
        return "/kept"

    def again(node: Verbs, why: str) -> View:
        if act == "accept":
            with suppress(UnhushError):  # nobody who asked: the page of all says so
                return step_view(node, act, fit_account(typed), problem=why, typed=dict(form))
        return kept_view(node, wrong=act, problem=why, typed=dict(form))

    return await _do(request, do, again)


@routes.post("/person/{account}/keep")
async def keep(request: web.Request) -> web.Response:
    account, form = pages.cid_in(request, "account"), fields(request)

    def do(node: Verbs) -> str:
        node.keep(account, form.get("budget", ""), form.get("media", ""))
        return f"/person/{account}"

    return await _do(request, do, lambda node, why: pages.person_view(node, account, problem=why))


def kept_view(node: Verbs, *, wrong: str = "", problem: str = "", typed: dict[str, str] | None = None) -> View:
    """``wrong`` is the form that will not do, ``problem`` why."""
    keepers = node.keepers()
    values = {
        "here": "kept",
        "keepers": keepers,
        "ring": draw_ring(keepers),
        "offers": tuple(each for each in node.keeping_offers() if not each.is_kept),
        "kept": node.kept(),
        "wrong": wrong,
        "problem": problem,
        "typed": _USUAL | (typed or {}),
    }
    return View("kept.j2", values, 422 if problem else 200)


def step_view(node: Verbs, act: str, account: Cid, *, problem: str = "", typed: dict[str, str] | None = None) -> View:
    """Raises ``NotFound`` if there is nothing of the kind to do with that account."""
    party: KeeperInfo | KeepingOffer | KeptInfo | None = _find_party(node, act, account)
    if party is None:
        raise NotFound("There is nothing like that to do with this account now.")
    known = node.follows()
    values = {
        "here": "kept",
        "act": act,
        "one": party,
        "is_followed": any(each.account == account for each in known),
        "imitates": LookAlikes(known).find(account, party.name),
        "kept": node.kept(),
        "problem": problem,
        "typed": _USUAL | (typed or {}),
    }
    return View("kept_step.j2", values, 422 if problem else 200)


def _find_party(node: Verbs, act: str, account: Cid) -> KeeperInfo | KeepingOffer | KeptInfo | None:
    match act:
        case "stop":
            return next(iter(node.kept(account)), None)
        case "accept":
            return next((each for each in node.keeping_offers() if each.account == account and not each.is_kept), None)
        case _:
            is_accepted = act == "withdraw"
            return next(
                (each for each in node.keepers() if each.account == account and each.is_accepted == is_accepted), None
            )


def draw_ring(keepers: tuple[KeeperInfo, ...]) -> Markup:
    """One arc for each keeper with a receipt, amber if it counts, grey if not; dotted if there is none."""
    counting = sum(each.counts for each in keepers)
    others = sum(each.receipt_ms is not None for each in keepers) - counting
    arcs = min(counting + others, MAX_ARCS)
    around = 2 * pi * _RADIUS
    if not arcs:
        shapes = f'<circle class="none" cx="50" cy="50" r="{_RADIUS}"/>'
    else:
        gap = min(_WIDEST_GAP, around / arcs * 0.32) if arcs > 1 else 0.0
        length = around / arcs - gap
        shapes = "".join(
            f'<circle class="{"fresh" if number < counting else "stale"}" cx="50" cy="50" r="{_RADIUS}"'
            f' stroke-dasharray="{length:.2f} {around - length:.2f}" stroke-dashoffset="{-number * around / arcs:.2f}"'
            ' transform="rotate(-90 50 50)"/>'
            for number in range(arcs)
        )
    # Numbers of our own drawing, and nothing else.
    return Markup(f'<svg class="keepring" viewBox="0 0 100 100" aria-hidden="true">{shapes}</svg>')  # noqa: S704


async def _do(request: web.Request, do: Callable[[Verbs], str], again: Callable[[Verbs, str], View]) -> web.Response:
    """Do it and go on (303), or show the page again with what was wrong."""
    desk = desk_of(request)
    try:
        onward = await desk.hop(do, desk.node)
    except UnhushError as error:
        return await desk.page(request, again, str(error))
    return web.Response(status=303, headers={"Location": onward})
