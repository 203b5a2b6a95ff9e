"""The pages that only read."""

from typing import Final

from aiohttp import web

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.node.errors import NotFound
from unhush.node.names import LookAlikes
from unhush.node.views import Branch, Person, Shown
from unhush.node.web.desk import View, desk_of
from unhush.node.web.gate import PASSAGE
from unhush.node.web.seam import Verbs
from unhush.node.web.sigil import draw_banner, draw_sigil
from unhush.node.web.statics import CACHE

# Two screens of posts; an evening's reading before anybody has to ask for more.
PAGE_POSTS: Final = 30
# Replies drawn of one thread; a page of more takes longer to draw than anybody reads.
MAX_REPLIES: Final = 500
# A cursor is short text of the node's own making; ours to bound, the node's to judge.
MAX_CURSOR_CHARS: Final = 200
# No tag is longer (PROTOCOL §4), and nobody's address line needs more.
MAX_TAG_CHARS: Final = 64
# More than any name of a list has; the node says which there are.
MAX_LIST_CHARS: Final = 200
PAGE_PEOPLE: Final = 100
PICTURE_CACHE: Final = "private, max-age=86400"

routes = web.RouteTableDef()


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    desk = desk_of(request)
    if not request[PASSAGE].is_open:
        return desk.door(leads_on=request[PASSAGE].is_foreign_click)
    return await desk.page(request, home_view, before=cursor(request))


@routes.get("/post/{cid}")
async def thread(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, thread_view, cid_in(request, "cid"))


@routes.get("/post/{cid}/history")
async def history(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, history_view, cid_in(request, "cid"))


@routes.get("/post/{cid}/edit")
async def edit(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, edit_view, cid_in(request, "cid"))


@routes.get("/post/{cid}/quote")
async def quote(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, quote_view, cid_in(request, "cid"))


@routes.get("/post/{cid}/delete")
async def delete(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, delete_view, cid_in(request, "cid"))


@routes.get("/activity")
async def activity(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, activity_view, before=cursor(request))


@routes.get("/tag")
async def tag(request: web.Request) -> web.Response:
    name = request.query.get("name", "")[:MAX_TAG_CHARS]
    return await desk_of(request).page(request, tag_view, name, before=cursor(request))


@routes.get("/person/{account}/followers")
async def followers(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, followers_view, cid_in(request, "account"), after=cursor(request))


@routes.get("/person/{account}/follows")
async def follows(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, follows_view, cid_in(request, "account"), after=cursor(request))


@routes.get("/person/{account}")
async def person(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, person_view, cid_in(request, "account"), before=cursor(request))


@routes.get("/people")
async def people(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, people_view)


@routes.get("/lists")
async def lists(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, lists_view)


@routes.get("/list")
async def one_list(request: web.Request) -> web.Response:
    name = request.query.get("name", "")[:MAX_LIST_CHARS]
    return await desk_of(request).page(request, list_view, name, before=cursor(request))


@routes.get("/network")
async def network(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, network_view)


@routes.get("/write")
async def write(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, write_view)


@routes.get("/profile")
async def profile(request: web.Request) -> web.Response:
    return await desk_of(request).page(request, profile_view)


@routes.get("/sigil/{account}.svg")
async def sigil(request: web.Request) -> web.Response:
    return _picture(draw_sigil(cid_in(request, "account")))


@routes.get("/banner/{account}.svg")
async def banner(request: web.Request) -> web.Response:
    return _picture(draw_banner(cid_in(request, "account")))


@routes.get("/static/{name}")
async def static(request: web.Request) -> web.Response:
    found = desk_of(request).shelf.find(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": CACHE, "Vary": "Accept-Encoding"}
    if found.zipped is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=found.zipped, content_type=found.content_type, headers=headers)
    return web.Response(body=found.content, content_type=found.content_type, headers=headers)


def home_view(node: Verbs, *, before: str | None = None, problem: str = "", account: str = "") -> View:
    # The cursor of the news is read before the posts: a post between the two is announced, never lost.
    last_aid = node.status().last_aid
    page = node.timeline(limit=PAGE_POSTS, before=before)
    values = {
        "here": "home",
        "page": page,
        "is_first": before is None,
        "last_aid": last_aid,
        "voices": len({shown.account for shown in page.items}),
        "answered": _answered(node, page.items),
        "problem": problem,
        "account": account,
    }
    return View("home.j2", values, 422 if problem else 200)


def thread_view(node: Verbs, cid: Cid, *, problem: str = "", text: str = "") -> View:
    last_aid = node.status().last_aid  # before the replies are read, as at home
    found = node.thread(cid)
    branches = ([Branch(found.root.id, found.root, 0)] if found.root else []) + list(found.branches[:MAX_REPLIES])
    shown = [branch.shown for branch in branches if branch.shown is not None]
    focus = next((one for one in shown if one.id == cid), None)
    if focus is None:
        focus = node.show(cid)
        shown.append(focus)
        branches.append(Branch(cid, focus, 1))
    if focus.kind != "post":
        raise NotFound("That record is not a post.")
    imitated = LookAlikes(node.follows())
    values = {
        "here": "thread",
        "thread": found,
        "last_aid": last_aid,
        "branches": branches,
        "left_off": max(0, len(found.branches) - MAX_REPLIES),
        "focus": focus,
        "by_id": {one.id: one for one in shown},
        "imitates": {one.id: imitated.find(one.account, one.name) for one in shown if not one.is_own},
        "problem": problem,
        "text": text,
    }
    return View("thread.j2", values, 422 if problem else 200)


def history_view(node: Verbs, cid: Cid) -> View:
    versions = node.history(cid)
    return View("history.j2", {"versions": versions, "post": node.show(versions[0].id)})


def edit_view(node: Verbs, cid: Cid, *, problem: str = "", text: str | None = None) -> View:
    shown = _own_post(node, cid)
    values = {"post": shown, "problem": problem, "text": shown.text if text is None else text}
    return View("edit.j2", values, 422 if problem else 200)


def delete_view(node: Verbs, cid: Cid, *, problem: str = "") -> View:
    return View("delete.j2", {"post": _own_post(node, cid), "problem": problem}, 422 if problem else 200)


def quote_view(node: Verbs, cid: Cid, *, problem: str = "", text: str = "") -> View:
    shown = node.show(cid)
    if shown.kind != "post" or shown.is_deleted:
        raise NotFound("That is no post to quote.")
    return View("quote.j2", {"post": shown, "problem": problem, "text": text}, 422 if problem else 200)


def activity_view(node: Verbs, *, before: str | None = None) -> View:
    page = node.activity(PAGE_POSTS, before)
    return View("activity.j2", {"here": "activity", "page": page, "is_first": before is None})


def tag_view(node: Verbs, name: str, *, before: str | None = None) -> View:
    page = node.tagged(name, PAGE_POSTS, before)
    values = {"tag": name, "page": page, "is_first": before is None, "answered": _answered(node, page.items)}
    return View("tag.j2", values)


def followers_view(node: Verbs, account: Cid, *, after: str | None = None) -> View:
    page = node.followers(account, PAGE_PEOPLE, after)
    return View("crowd.j2", {"person": node.person(account), "page": page, "is_followers": True})


def follows_view(node: Verbs, account: Cid, *, after: str | None = None) -> View:
    page = node.follows_of(account, PAGE_PEOPLE, after)
    return View("crowd.j2", {"person": node.person(account), "page": page, "is_followers": False})


def _own_post(node: Verbs, cid: Cid) -> Shown:
    shown = node.show(cid)
    if not shown.is_own or shown.kind != "post" or shown.is_deleted:
        raise NotFound("That is no post of yours to change.")
    return shown


def person_view(node: Verbs, account: Cid, *, before: str | None = None, problem: str = "") -> View:
    found = node.person(account)
    page = node.person_posts(account, PAGE_POSTS, before)
    imitates = None if found.is_own else LookAlikes(node.follows()).find(account, found.name)
    values = {
        "here": "you" if found.is_own else "person",
        "person": found,
        "page": page,
        "is_first": before is None,
        "answered": _answered(node, page.items),
        "promise": next(iter(node.kept(account)), None),
        "imitates": imitates,
        "problem": problem,
    }
    return View("person.j2", values, 422 if problem else 200)


def people_view(node: Verbs, *, problem: str = "", account: str = "", petname: str = "") -> View:
    values = {
        "here": "people",
        "people": node.follows(),
        "shunned": node.shunned(),
        "problem": problem,
        "account": account,
        "petname": petname,
    }
    return View("people.j2", values, 422 if problem else 200)


def lists_view(node: Verbs, *, problem: str = "", name: str = "") -> View:
    values = {"here": "people", "lists": node.lists.all(), "problem": problem, "name": name}
    return View("lists.j2", values, 422 if problem else 200)


def list_view(node: Verbs, name: str, *, before: str | None = None, problem: str = "", who: str = "") -> View:
    members = node.lists.members(name)
    page = node.timeline(PAGE_POSTS, before, in_list=name)
    values = {
        "here": "people",
        "name": name,
        "members": members,
        "page": page,
        "is_first": before is None,
        "answered": _answered(node, page.items),
        "problem": problem,
        "who": who,
    }
    return View("list.j2", values, 422 if problem else 200)


def network_view(node: Verbs, *, problem: str = "", address: str = "") -> View:
    peers = sorted(node.peers(), key=lambda peer: (not peer.connected, peer.address))
    people = node.people_at([peer.peer for peer in peers if peer.peer is not None])
    values = {"here": "network", "peers": tuple(peers), "people": people, "problem": problem, "address": address}
    return View("network.j2", values, 422 if problem else 200)


def write_view(_: Verbs, *, problem: str = "", text: str = "") -> View:
    return View("write.j2", {"here": "write", "problem": problem, "text": text}, 422 if problem else 200)


def profile_view(node: Verbs, *, problem: str = "", name: str | None = None, bio: str | None = None) -> View:
    account = node.status().account
    me = node.person(account) if account else None
    values = {
        "here": "profile",
        "name": name if name is not None else (me.name if me else ""),
        "bio": bio if bio is not None else (me.bio if me else ""),
        "problem": problem,
    }
    return View("profile.j2", values, 422 if problem else 200)


def lost_view(_: Verbs, sentence: str, status: int) -> View:
    return View("lost.j2", {"sentence": sentence, "status": status}, status)


def cursor(request: web.Request) -> str | None:
    at = request.query.get("before") or request.query.get("after")
    return at if at and len(at) <= MAX_CURSOR_CHARS else None


def cid_in(request: web.Request, part: str) -> Cid:
    """The CID in a path; a path without one leads nowhere."""
    try:
        return parse_cid(request.match_info[part])
    except MalformedCid:
        raise web.HTTPNotFound from None


def _answered(node: Verbs, items: tuple[Shown, ...]) -> dict[Cid, Person | None]:
    """Whom each reply answers, by the reply's id, where that can be known here."""
    people: dict[Cid, Person | None] = {}
    answered: dict[Cid, Person | None] = {}
    for item in items:
        shown = item.reposted or item
        if shown.reply is None:
            continue
        account = shown.reply.parent_account
        if account is not None and account not in people:
            people[account] = _find_person(node, account)
        answered[shown.id] = people.get(account) if account is not None else None
    return answered


def _find_person(node: Verbs, account: Cid) -> Person | None:
    try:
        return node.person(account)
    except NotFound:
        return None


def _picture(svg: str) -> web.Response:
    return web.Response(text=svg, content_type="image/svg+xml", headers={"Cache-Control": PICTURE_CACHE})
