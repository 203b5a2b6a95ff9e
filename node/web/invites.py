"""The page of invites: make one and show it, read somebody's and accept it.

The text of an invite is kept nowhere but here, in memory, for as long as it may
have to be shown again; what the store keeps cannot say it. The picture of a QR
code is a file of its own, for the page's policy allows no pictures inside pages.
"""

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import segno
from aiohttp import web

from unhush.identity.errors import UnhushError
from unhush.node.errors import NotFound
from unhush.node.people.invites import DAY_S, MAX_VALID_S, USUAL_DAYS, GivenInvite, ReadInvite, why_refused
from unhush.node.web.desk import Desk, View, desk_of
from unhush.node.web.forms import Unfit, fields, fit_account, fit_petname
from unhush.node.web.seam import Verbs
from unhush.storage.invites import MAX_USES

# A person makes a few in a sitting; the eldest is forgotten here, and stays good.
MAX_MADE: Final = 16
# What the browser waits for the inviter's node; the state is on the page, and the node goes on.
WAIT_S: Final = 2.0

routes = web.RouteTableDef()


class Made:
    """Invites that were made on this page, since it was started."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, GivenInvite] = OrderedDict()

    def put(self, given: GivenInvite) -> None:
        self._made[given.id] = given
        if len(self._made) > MAX_MADE:
            self._made.popitem(last=False)

    def get(self, invite_id: str) -> GivenInvite:
        """Raises ``NotFound``."""
        if invite_id not in self._made:
            raise NotFound("The text of an invite is shown only where it was made, until the node ends.")
        return self._made[invite_id]


MADE: Final = web.AppKey("made", Made)


@routes.get("/invites")
async def invites(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, invites_view)


@routes.post("/invites/new")
async def make(request: web.Request) -> web.Response:
    form, made = fields(request), request.app[MADE]

    def make(node: Verbs) -> str:
        in_list = form.get("list", "").strip()
        days = _fit_number(form.get("days", ""), "days", MAX_VALID_S // DAY_S)
        uses = _fit_number(form.get("uses", ""), "people", MAX_USES)
        asks_keeping = form.get("keep") == "on"
        given = node.invite(expires_s=days * DAY_S, uses=uses, in_list=in_list or None, asks_keeping=asks_keeping)
        made.put(given)
        return f"/invites/made/{given.id}"

    return await _do(request, make, lambda node, why: invites_view(node, wrong="new", problem=why, typed=dict(form)))


@routes.get("/invites/made/{id}")
async def made(request: web.Request) -> web.Response:
    given = request.app[MADE].get(request.match_info["id"])
    return await desk_of(request).page(request, lambda _: View("invite.j2", {"here": "people", "given": given}))


@routes.get("/invites/made/{id}/qr.svg")
async def qr(request: web.Request) -> web.Response:
    given = request.app[MADE].get(request.match_info["id"])
    return web.Response(body=draw_qr(given.link), content_type="image/svg+xml")


@routes.post("/invites/cancel")
async def cancel(request: web.Request) -> web.Response:
    invite_id = fields(request).get("id", "")

    def cancel(node: Verbs) -> str:
        node.cancel_invite(invite_id)
        return "/invites"

    return await _do(request, cancel, lambda node, why: invites_view(node, wrong="open", problem=why))


@routes.post("/invites/read")
async def read(request: web.Request) -> web.Response:
    """Show what an invite says and what accepting it will do; nothing is done yet."""
    desk, text = desk_of(request), fields(request).get("invite", "")

    def show(node: Verbs) -> View:
        try:
            return _accept_view(node.read_invite(_fit_invite(text)))
        except UnhushError as error:
            return invites_view(node, wrong="read", problem=str(error), typed={"invite": text})

    return await desk.page(request, show)


@routes.post("/invites/accept")
async def accept(request: web.Request) -> web.Response:
    form = fields(request)
    text = form.get("invite", "")

    def accept(node: Verbs) -> str:
        said = node.read_invite(_fit_invite(text))
        everybody = tuple(person.account for person in said.starter)
        chosen = everybody if form.get("starter") == "on" else ()
        petname = fit_petname(form.get("petname", "")) or None
        node.accept(said, petname=petname, starter=chosen, timeout_s=WAIT_S, keep=form.get("keep") == "on")
        return f"/invites#accepted-{said.account}"

    def again(node: Verbs, why: str) -> View:
        return invites_view(node, wrong="read", problem=why, typed={"invite": text})

    return await _do(request, accept, again)


@routes.post("/invites/drop")
async def drop(request: web.Request) -> web.Response:
    typed = fields(request).get("account", "")

    def drop(node: Verbs) -> str:
        node.drop_accepted(fit_account(typed))
        return "/invites"

    return await _do(request, drop, lambda node, why: invites_view(node, wrong="accepted", problem=why))


def invites_view(node: Verbs, *, wrong: str = "", problem: str = "", typed: dict[str, str] | None = None) -> View:
    """``wrong`` is the form that will not do, ``problem`` why."""
    usual = {"days": str(USUAL_DAYS), "uses": "1", "list": "", "invite": ""}
    values = {
        "here": "people",
        "open": node.invites(),
        "accepted": node.accepted(),
        "lists": node.lists.all(),
        "max_days": MAX_VALID_S // DAY_S,
        "max_uses": MAX_USES,
        "why_refused": why_refused,
        "wrong": wrong,
        "problem": problem,
        "typed": usual | (typed or {}),
    }
    return View("invites.j2", values, 422 if problem else 200)


def _accept_view(said: ReadInvite) -> View:
    return View("accept.j2", {"here": "people", "invite": said})


def draw_qr(link: str) -> bytes:
    """An SVG that a camera reads from any background; in capitals it needs fewer dots, and means the same."""
    drawn = io.BytesIO()
    segno.make(link.upper(), error="l", micro=False, boost_error=False).save(
        drawn, kind="svg", scale=4, border=4, dark="#000", light="#fff", xmldecl=False
    )
    return drawn.getvalue()


def _fit_number(typed: str, what: str, most: int) -> int:
    text = typed.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= most):
        raise Unfit(f"An invite is good for 1 to {most} {what}.")
    return int(text)


def _fit_invite(text: str) -> str:
    if not text.strip():
        raise Unfit("Paste the invite; it begins with unhush: and may have line breaks.")
    return text


async def _do(request: web.Request, do: Callable[[Verbs], str], again: Callable[[Verbs, str], View]) -> web.Response:
    """Do it and go on (303), or show the page again with what was wrong."""
    desk: Desk = desk_of(request)
    try:
        onward = await desk.hop(do, desk.node)
    except UnhushError as error:
        return await desk.page(request, again, str(error))
    return web.Response(status=303, headers={"Location": onward})
