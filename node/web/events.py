"""News as server-sent events: how many new posts, or answers in a conversation, wait since the page was made.

One thread waits on the journal for all streams together. A stream's cursor is
an aid: ``since`` in its address is where the page stood, and ``Last-Event-ID``
where the connection broke off; each event carries the whole count since the
page, so an event told twice or lost changes nothing.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import web

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid, UnhushError
from unhush.node.web.desk import desk_of, session_of
from unhush.node.web.seam import Verbs

log = logging.getLogger(__name__)

# One stream per visible tab; a browser opens six connections to a host at most.
MAX_STREAMS: Final = 16
# How long one wait in the thread lasts, and so how long a stop may take.
WAIT_S: Final = 0.5
# How often a stream without news looks whether its browser and its session are still there.
LOOK_S: Final = 1.0
# A stream without news says so this often, in looks, or something between would take it for dead.
HEARTBEAT_LOOKS: Final = 20
# While a flood arrives, the count on the page moves at most once in this time.
PAUSE_S: Final = 1.0
RETRY_MS: Final = 3_000
MAX_AID: Final = 2**64 - 1

routes = web.RouteTableDef()


class NewsDesk:
    """The newest aid, and a way to wait until it is newer."""

    def __init__(self, node: Verbs) -> None:
        self._node = node
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unhush-web-news")
        self._turn = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._last = 0
        self._listeners = 0
        self.is_closing = False

    @property
    def is_full(self) -> bool:
        return self._listeners >= MAX_STREAMS

    def arrive(self) -> None:
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def depart(self) -> None:
        self._listeners -= 1

    async def newer_than(self, aid: int, timeout_s: float) -> int | None:
        """The newest aid once it is beyond ``aid``, or ``None`` when nothing came or we close."""
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._turn.wait_for(lambda: self._last > aid or self.is_closing)
            except TimeoutError:
                return None
            return None if self.is_closing else self._last

    async def close(self) -> None:
        self.is_closing = True
        async with self._turn:
            self._turn.notify_all()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=False)

    async def _watch(self) -> None:
        """Runs while anybody listens; ends by itself, so an idle page costs nothing."""
        loop = asyncio.get_running_loop()
        try:
            while self._listeners and not self.is_closing:
                last = await loop.run_in_executor(self._thread, self._node.wait_for_news, self._last, WAIT_S)
                if last > self._last:
                    async with self._turn:
                        self._last = last
                        self._turn.notify_all()
        except UnhushError as error:
            log.warning("page hears no news error=%s", error)
        finally:
            self._task = None


NEWS: Final = web.AppKey("news", NewsDesk)


@routes.get("/events")
async def events(request: web.Request) -> web.StreamResponse:
    desk, news, session = desk_of(request), request.app[NEWS], session_of(request)
    since = _aid(request.query.get("since", ""))
    if since is None:
        return web.Response(status=400, text="Say since when: ?since=<arrival id>.")
    root = _root(request.query.get("thread"))
    if root is _BAD:
        return web.Response(status=400, text="That names no conversation.")
    if news.is_full:
        return web.Response(status=503, text="Too many pages are open.", headers={"Retry-After": "30"})
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    news.arrive()
    try:
        await stream.prepare(request)
        await stream.write(b"retry: %d\n\n" % RETRY_MS)
        told = _aid(request.headers.get("Last-Event-ID", "")) or since
        looks = 0
        while request.transport is not None and not news.is_closing and desk.sessions.is_live(session):
            last = await news.newer_than(told, LOOK_S)
            if last is None:
                looks += 1
                if looks % HEARTBEAT_LOOKS == 0:
                    await stream.write(b": still here\n\n")
                continue
            told = last
            if isinstance(root, Cid):
                count = await desk.hop(desk.node.count_answers, root, since)
            else:
                count = await desk.hop(desk.node.count_new, since)
            await stream.write(f"id: {last}\ndata: {json.dumps({'new': count})}\n\n".encode())
            await asyncio.sleep(PAUSE_S)
    except (ConnectionError, UnhushError):
        pass  # the browser went away, or the node did: it asks again if it is still there
    finally:
        news.depart()
    return stream


_BAD: Final = "names no record"


def _root(text: str | None) -> Cid | str | None:
    """The conversation of which answers are counted, None if posts are."""
    try:
        return parse_cid(text) if text is not None else None
    except MalformedCid:
        return _BAD


def _aid(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        return None
    aid = int(text)
    return aid if aid <= MAX_AID else None
