"""The page of keeping: who keeps me and has shown it, what this node keeps for others, and the forms for both."""

from collections.abc import Callable
from math import pi
from typing import Final

from aiohttp import web
from markupsafe import Markup

from unhush.identity.errors import UnhushError
from unhush.node.keeping.sizes import MEDIA_WORDS, USUAL_BUDGET
from unhush.node.views import KeeperInfo
from unhush.node.web import pages
from unhush.node.web.desk import View, desk_of
from unhush.node.web.forms import fields, fit_account, fit_somebody
from unhush.node.web.seam import Verbs

# More arcs than this cannot be told apart on a ring; the number stands beside it.
MAX_ARCS: Final = 14
_RADIUS: Final = 46
_WIDEST_GAP: Final = 9.0

routes = web.RouteTableDef()


@routes.get("/kept")
async def kept(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, kept_view)


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

    return await _do(request, do, lambda node, why: kept_view(node, wrong=act, problem=why, typed=dict(form)))


@routes.post("/person/{account}/{act:keep|unkeep}")
async def keep(request: web.Request) -> web.Response:
    account, form, act = pages.cid_in(request, "account"), fields(request), request.match_info["act"]

    def do(node: Verbs) -> str:
        if act == "keep":
            node.keep(account, form.get("budget", ""), form.get("media", ""))
        else:
            node.unkeep(account)
        return f"/person/{account}"

    return await _do(request, do, lambda node, why: pages.person_view(node, account, problem=why))


def kept_view(node: Verbs, *, wrong: str = "", problem: str = "", typed: dict[str, str] | None = None) -> View:
    """``wrong`` is the form that will not do, ``problem`` why."""
    usual = {"who": "", "budget": USUAL_BUDGET, "media": "none"}
    keepers = node.keepers()
    values = {
        "here": "kept",
        "keepers": keepers,
        "ring": draw_ring(keepers),
        "offers": tuple(each for each in node.keeping_offers() if not each.is_kept),
        "kept": node.kept(),
        "media_words": MEDIA_WORDS,
        "wrong": wrong,
        "problem": problem,
        "typed": usual | (typed or {}),
    }
    return View("kept.j2", values, 422 if problem else 200)


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
