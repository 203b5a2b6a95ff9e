"""Pictures of posts and people.

What a page shows inside itself is drawn anew by us, small (``…/small``); the
file itself opens on its own, in a sandbox where nothing runs. Its type is what
its first bytes say, and what is no picture is handed over as a file to save.
"""

import asyncio
from typing import Final

from aiohttp import web

from unhush.identity.cid import Cid
from unhush.node.errors import BlobMissing, ImageRefused
from unhush.node.pictures.media import UNKNOWN_TYPE
from unhush.node.web.desk import desk_of
from unhush.node.web.gate import MEDIA_CSP
from unhush.node.web.pages import PICTURE_CACHE, cid_in
from unhush.node.web.ranges import Unsatisfiable, parse_range
from unhush.node.web.sigil import draw_sigil

# A portrait may change; a minute of the old one harms nobody.
PORTRAIT_CACHE: Final = "private, max-age=60"

# Small pictures asked for at once: one that takes long to draw must not hold every thread that pages need.
MAX_DRAWING: Final = 3
DRAWING: Final = web.AppKey("drawing", asyncio.Semaphore)
# Pictures waited for at once: each holds a thread until peers have answered.
MAX_FETCHING: Final = 3
FETCHING: Final = web.AppKey("fetching", asyncio.Semaphore)

routes = web.RouteTableDef()


@routes.get("/media/{cid}")
async def media(request: web.Request) -> web.StreamResponse:
    desk, cid = desk_of(request), cid_in(request, "cid")
    await _fetched(request, cid)
    files = desk.node.media
    size, kind = await desk.hop(files.size, cid), await desk.hop(files.type, cid)
    tag = f'"{cid}"'
    headers = {
        "Content-Security-Policy": MEDIA_CSP,
        "Content-Type": kind,
        "Cache-Control": PICTURE_CACHE,
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    if kind == UNKNOWN_TYPE:
        headers["Content-Disposition"] = f'attachment; filename="{cid}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    asked = request.headers.get("Range") if request.headers.get("If-Range", tag) == tag else None
    try:
        stretch = parse_range(asked, size)
    except Unsatisfiable:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = stretch or (0, size)
    headers["Content-Length"] = str(stop - start)
    if stretch is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if stretch is not None else 200
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    parts = files.iter_range(cid, start, stop)
    part = await desk.hop(next, parts, b"")  # before any header: a damaged file is said with a status
    answer = web.StreamResponse(status=status, headers=headers)
    await answer.prepare(request)
    while part:
        await answer.write(part)
        try:
            part = await desk.hop(next, parts, b"")
        except BlobMissing:
            raise ConnectionResetError("a blob ended before its end") from None  # the browser sees it is not whole
    await answer.write_eof()
    return answer


@routes.get("/media/{cid}/small")
async def small(request: web.Request) -> web.Response:
    """A picture as pages show it: small, and drawn by us."""
    desk, cid = desk_of(request), cid_in(request, "cid")
    await _fetched(request, cid)
    try:
        async with request.app[DRAWING]:
            thumb = await desk.hop(desk.node.media.thumb, cid)
    except ImageRefused:
        raise web.HTTPNotFound from None
    return _webp(thumb, PICTURE_CACHE)


@routes.get("/portrait/{account}")
async def portrait(request: web.Request) -> web.Response:
    """The avatar of an account, or the sign drawn from its id."""
    desk, account = desk_of(request), cid_in(request, "account")
    async with request.app[DRAWING]:
        found = await desk.hop(desk.node.portrait, account)
    if found is not None:
        return _webp(found, PORTRAIT_CACHE)
    headers = {"Cache-Control": PORTRAIT_CACHE}
    return web.Response(text=draw_sigil(account), content_type="image/svg+xml", headers=headers)


async def _fetched(request: web.Request, cid: Cid) -> None:
    """Give peers the time to send a picture that is not here yet; 404 for one that nothing shows any more.

    Of many a few are waited for and the others only begun: a browser has six connections for all that a page needs.
    """
    desk = desk_of(request)
    if await desk.hop(desk.node.is_hidden_media, cid):
        raise web.HTTPNotFound
    if await desk.hop(desk.node.media.has, cid):
        return
    if request.app[FETCHING].locked():
        await desk.hop(desk.node.fetch_media, cid, 0.0)
        return
    async with request.app[FETCHING]:
        await desk.hop(desk.node.fetch_media, cid)


def _webp(data: bytes, cache: str) -> web.Response:
    headers = {"Cache-Control": cache, "Content-Security-Policy": MEDIA_CSP}
    return web.Response(body=data, content_type="image/webp", headers=headers)
