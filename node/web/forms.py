"""What changes something: validate, do, and send the browser on to where the change can be seen.

When a form will not do, the same page comes back (422) with what is wrong and
everything the person typed. The gate has checked the token already.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from aiohttp import web

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid, UnhushError
from unhush.node.errors import NotFound, RecordDeleted
from unhush.node.web import pages
from unhush.node.web.desk import Desk, View, desk_of, session_of
from unhush.node.web.gate import COOKIE, PASSAGE
from unhush.node.web.look import MAX_BIO, MAX_PETNAME, MAX_POST_BYTES, MAX_PROFILE_NAME
from unhush.node.web.seam import Verbs
from unhush.node.web.uploads import MAX_FILE_BYTES, UPLOAD_TIMEOUT_S, BadUpload, Part, Upload
from unhush.storage.kinds import Media
from unhush.storage.kinds.posts import MAX_MEDIA

# Paths of pages with their cursors and names; one slash at the beginning, or it would name a host.
_OUR_PAGE: Final = re.compile(r"/(?:[a-z0-9][A-Za-z0-9/]*)?(?:\?[A-Za-z0-9=&%.+_~-]*)?")
_AID: Final = re.compile(r"[0-9]{1,20}")
MAX_BACK_CHARS: Final = 500

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
    if (upload := request[PASSAGE].upload) is not None:
        return await _write_with_pictures(request, upload)
    text = fields(request).get("text", "")

    def publish(node: Verbs) -> str:
        node.post(fit_text(text))
        return "/"

    return await _change(request, publish, lambda node, problem: pages.write_view(node, problem=problem, text=text))


async def _write_with_pictures(request: web.Request, upload: Upload) -> web.Response:
    desk = desk_of(request)
    text, problem = "", ""
    rows: list[Media | None] = []  # as the form has them; None where no picture was chosen
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            async for part in upload:  # to the end, whatever is wrong: a browser shows no answer before it has sent all
                try:
                    match part.name:
                        case "text":
                            text = part.text
                            if part.is_cut:
                                raise Unfit(f"That text is longer than a post can be ({MAX_POST_BYTES:,} bytes).")
                        case "image" if part.is_file and not problem:
                            rows.append(await _take_picture(desk, part, rows) if part.data or part.is_cut else None)
                        case "alt" if rows and rows[-1] is not None:  # the words on the picture before it
                            rows[-1] = replace(rows[-1], alt=_lines(part.text))
                except UnhushError as error:
                    problem = problem or str(error)
    except (BadUpload, TimeoutError) as error:
        problem = str(error) or "The pictures did not arrive in time."
    media = [row for row in rows if row is not None]
    if problem and media:
        problem += " Choose the pictures again."

    def publish(node: Verbs) -> str:
        if problem:
            raise Unfit(problem)
        node.post(_lines(text) if media and not _lines(text) else fit_text(text), media)
        return "/"

    return await _change(request, publish, lambda node, wrong: pages.write_view(node, problem=wrong, text=text))


async def _take_picture(desk: Desk, part: Part, rows: list[Media | None]) -> Media:
    if part.is_cut:
        raise Unfit(f"A picture can have {MAX_FILE_BYTES // 2**20} MiB.")
    if sum(row is not None for row in rows) == MAX_MEDIA:
        raise Unfit(f"A post shows at most {MAX_MEDIA} pictures.")
    return await desk.hop(desk.node.attach, part.data)


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


@routes.post("/post/{cid}/quote")
async def quote_post(request: web.Request) -> web.Response:
    cid = pages.cid_in(request, "cid")
    text = fields(request).get("text", "")

    def publish(node: Verbs) -> str:
        return f"/post/{node.quote(cid, fit_text(text)).id}"

    return await _change(request, publish, lambda node, why: pages.quote_view(node, cid, problem=why, text=text))


@routes.post("/post/{cid}/edit")
async def edit(request: web.Request) -> web.Response:
    cid = pages.cid_in(request, "cid")
    text = fields(request).get("text", "")

    def change(node: Verbs) -> str:
        has_more = bool(node.show(cid).media)
        return f"/post/{node.edit(cid, '' if has_more and not _lines(text) else fit_text(text)).id}"

    return await _change(request, change, lambda node, why: pages.edit_view(node, cid, problem=why, text=text))


@routes.post("/post/{cid}/delete")
async def delete(request: web.Request) -> web.Response:
    cid = pages.cid_in(request, "cid")

    def withdraw(node: Verbs) -> str:
        node.delete(cid)
        return "/"

    return await _change(request, withdraw, lambda node, why: pages.delete_view(node, cid, problem=why))


@routes.post("/post/{cid}/{act:react|unreact|repost|unrepost}")
async def act(request: web.Request) -> web.Response:
    """A small act on a post; afterwards the page it was done on comes back, where the post stands."""
    cid = pages.cid_in(request, "cid")
    form, name = fields(request), request.match_info["act"]
    emoji = form.get("emoji", "")

    def do(node: Verbs) -> str:
        match name:
            case "react":
                node.react(cid, emoji)
            case "unreact":
                node.unreact(cid, emoji)
            case "repost":
                node.repost(cid)
            case _:
                node.unrepost(cid)
        return _way_back(form.get("back", ""), request.query.get("at", ""))

    return await _change(request, do, lambda node, why: pages.thread_view(node, cid, problem=why))


@routes.post("/person/{account}/{act:mute|unmute|block|unblock}")
async def shun(request: web.Request) -> web.Response:
    account, name = pages.cid_in(request, "account"), request.match_info["act"]

    def do(node: Verbs) -> str:
        match name:
            case "mute":
                node.mute(account)
            case "unmute":
                node.unmute(account)
            case "block":
                node.block(account)
            case _:
                node.unblock(account)
        return f"/person/{account}"

    return await _change(request, do, lambda node, problem: pages.person_view(node, account, problem=problem))


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


@routes.post("/lists")
async def make_list(request: web.Request) -> web.Response:
    name = " ".join(fields(request).get("name", "").split())

    def make(node: Verbs) -> str:
        if not name:
            raise Unfit("A list needs a name.")
        node.lists.create(name)
        return _list_path(name)

    return await _change(request, make, lambda node, problem: pages.lists_view(node, problem=problem, name=name))


@routes.post("/list/{act:add|remove|drop}")
async def change_list(request: web.Request) -> web.Response:
    form, act = fields(request), request.match_info["act"]
    name, typed = form.get("name", ""), form.get("who", "")

    def change(node: Verbs) -> str:
        match act:
            case "add":
                node.lists.add(name, fit_somebody(node, typed))
            case "remove":
                node.lists.remove(name, fit_account(typed))
            case _:
                node.lists.drop(name)
                return "/lists"
        return _list_path(name)

    return await _change(request, change, lambda node, why: pages.list_view(node, name, problem=why, who=typed))


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


def fit_somebody(node: Verbs, typed: str) -> Cid:
    """An account by its id or by what the person calls it."""
    if not typed.strip():
        raise Unfit("Say who: what you call them, or their account id.")
    try:
        return node.account_of(typed.strip())
    except MalformedCid:
        raise Unfit("You call nobody that, and it is no account id.") from None


def fit_petname(typed: str) -> str:
    petname = " ".join(typed.split())
    if len(petname) > MAX_PETNAME:
        raise Unfit(f"What you call somebody can have {MAX_PETNAME} characters.")
    return petname


def _list_path(name: str) -> str:
    return f"/list?name={quote(name, safe='')}"


def _way_back(path: str, at: str) -> str:
    """The page an act was done on, at its post; home for anything that is no page of ours."""
    if not _OUR_PAGE.fullmatch(path) or len(path) > MAX_BACK_CHARS:
        return "/"
    return f"{path}#p-{at}" if _AID.fullmatch(at) else path


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()


async def _change(
    request: web.Request, do: Callable[[Verbs], str], again: Callable[[Verbs, str], View]
) -> web.Response:
    """Do it and go on (303), or show the form again with what was wrong."""
    desk = desk_of(request)
    try:
        onward = await desk.hop(do, desk.node)
    except RecordDeleted as error:
        return await desk.page(request, again, str(error))
    except NotFound:
        raise
    except UnhushError as error:
        return await desk.page(request, again, str(error))
    return web.Response(status=303, headers={"Location": quote(onward, safe="/#?=&%+")})
