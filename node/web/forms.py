"""What changes something: validate, do, and send the browser on to where the change can be seen.

When a form will not do, the same page comes back (422) with what is wrong and
everything the person typed. The gate has checked the token already.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from aiohttp import web

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid, UnhushError
from unhush.node.errors import NotFound
from unhush.node.web import pages
from unhush.node.web.desk import View, desk_of, session_of
from unhush.node.web.gate import COOKIE, PASSAGE
from unhush.node.web.look import MAX_BIO, MAX_PETNAME, MAX_POST_BYTES, MAX_PROFILE_NAME
from unhush.node.web.seam import Verbs

routes = web.RouteTableDef()


class Unfit(UnhushError):
    """A form that will not do; the message is for the person who filled it in."""


@routes.post("/enter")
async def enter(request: web.Request) -> web.Response:
    """Trade a one-time code for a cookie; the page's script sends it here."""
    desk = desk_of(request)
    if desk.sessions.is_braked():
        return web.Response(status=429, text="Too many attempts. Wait a minute.")
    opened = desk.sessions.enter(request[PASSAGE].form.get("code", ""))
    if opened is None:
        desk.sessions.note_bad()
        return web.Response(status=403, text="This address was used already, or is older than ten minutes.")
    cookie, session = opened
    answer = web.json_response({"token": session.token})
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", path="/")
    return answer


@routes.post("/leave")
async def leave(request: web.Request) -> web.Response:
    desk_of(request).sessions.leave(session_of(request))
    answer = web.Response(status=303, headers={"Location": "/"})
    answer.del_cookie(COOKIE, path="/")
    return answer


@routes.post("/write")
async def write(request: web.Request) -> web.Response:
    text = fields(request).get("text", "")

    def publish(node: Verbs) -> str:
        node.post(fit_text(text))
        return "/"

    return await _change(request, publish, lambda node, problem: pages.write_view(node, problem=problem, text=text))


@routes.post("/post/{cid}/reply")
async def reply(request: web.Request) -> web.Response:
    cid = pages.cid_in(request, "cid")
    text = fields(request).get("text", "")

    def publish(node: Verbs) -> str:
        shown = node.reply(cid, fit_text(text))
        return f"/post/{shown.id}"

    def again(node: Verbs, problem: str) -> View:
        return pages.thread_view(node, cid, problem=problem, text=text)

    return await _change(request, publish, again)


@routes.post("/people")
async def follow_by_id(request: web.Request) -> web.Response:
    form = fields(request)
    typed, petname = form.get("account", ""), form.get("petname", "")

    def follow(node: Verbs) -> str:
        account = fit_account(typed)
        if account == node.status().account:
            raise Unfit("That is your own account id: give it to somebody else to follow.")
        node.follow(account, fit_petname(petname) or None)
        return f"/person/{account}"

    def again(node: Verbs, problem: str) -> View:
        if form.get("from") == "home":
            return pages.home_view(node, problem=problem, account=typed)
        return pages.people_view(node, problem=problem, account=typed, petname=petname)

    return await _change(request, follow, again)


@routes.post("/person/{account}/follow")
async def follow(request: web.Request) -> web.Response:
    """Follow; or, with a petname in the form, also call them that (an empty one takes it back)."""
    account = pages.cid_in(request, "account")
    petname = fields(request).get("petname")

    def follow(node: Verbs) -> str:
        node.follow(account, None if petname is None else fit_petname(petname))
        return f"/person/{account}"

    return await _change(request, follow, lambda node, problem: pages.person_view(node, account, problem=problem))


@routes.post("/person/{account}/unfollow")
async def unfollow(request: web.Request) -> web.Response:
    account = pages.cid_in(request, "account")

    def unfollow(node: Verbs) -> str:
        node.unfollow(account)
        return f"/person/{account}"

    return await _change(request, unfollow, lambda node, problem: pages.person_view(node, account, problem=problem))


@routes.post("/network")
async def add_peer(request: web.Request) -> web.Response:
    typed = fields(request).get("address", "")

    def add(node: Verbs) -> str:
        if not typed.strip():
            raise Unfit("Paste the address of a peer; it begins with a slash.")
        node.add_peer(typed.strip())
        return "/network"

    return await _change(request, add, lambda node, problem: pages.network_view(node, problem=problem, address=typed))


@routes.post("/profile")
async def profile(request: web.Request) -> web.Response:
    form = fields(request)
    name, bio = form.get("name", ""), form.get("bio", "")

    def change(node: Verbs) -> str:
        if not name.strip():
            raise Unfit("A name is needed, so that people know whom they read.")
        if len(name.strip()) > MAX_PROFILE_NAME:
            raise Unfit(f"The name has {len(name.strip())} characters; {MAX_PROFILE_NAME} are the most it can have.")
        if len(_lines(bio)) > MAX_BIO:
            raise Unfit(f"The text about you has {len(_lines(bio))} characters; {MAX_BIO} are the most it can have.")
        node.set_profile(name.strip(), _lines(bio))
        return f"/person/{node.status().account}"

    return await _change(
        request, change, lambda node, problem: pages.profile_view(node, problem=problem, name=name, bio=bio)
    )


def fields(request: web.Request) -> Mapping[str, str]:
    return request[PASSAGE].form


def fit_text(text: str) -> str:
    """A post's text with the line ends of a form made plain; raises ``Unfit``."""
    lines = _lines(text)
    if not lines:
        raise Unfit("There is nothing to publish yet.")
    size = len(lines.encode())
    if size > MAX_POST_BYTES:
        raise Unfit(f"That is {size:,} bytes; a post holds {MAX_POST_BYTES:,}. Nothing is lost: shorten it here.")
    return lines


def fit_account(typed: str) -> Cid:
    text = "".join(typed.split())
    if not text:
        raise Unfit("Paste the account id of the person: 59 letters and digits that begin with b.")
    try:
        return parse_cid(text)
    except MalformedCid:
        raise Unfit("That is not an account id: one has 59 letters and digits and begins with b.") from None


def fit_petname(typed: str) -> str:
    petname = " ".join(typed.split())
    if len(petname) > MAX_PETNAME:
        raise Unfit(f"What you call somebody can have {MAX_PETNAME} characters.")
    return petname


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()


async def _change(
    request: web.Request, do: Callable[[Verbs], str], again: Callable[[Verbs, str], View]
) -> web.Response:
    """Do it and go on (303), or show the form again with what was wrong."""
    desk = desk_of(request)
    try:
        onward = await desk.hop(do, desk.node)
    except NotFound:
        raise
    except UnhushError as error:
        return await desk.page(request, again, str(error))
    return web.Response(status=303, headers={"Location": quote(onward, safe="/#?=&")})
