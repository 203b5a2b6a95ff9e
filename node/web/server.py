"""The local page as a thing with a lifetime: a thread, a loop in it, and a port on this machine.

``WebServer`` wires gate, routes and node together. The gate is the outermost
middleware, so it sees every request before a route is looked at; headers are
put on as an answer is sent, so errors, files and streams have them too, even
the answer to bytes that are no HTTP.
"""

import asyncio
import ipaddress
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.web_request import BaseRequest

from unhush.identity.errors import UnhushError
from unhush.node.errors import NotFound
from unhush.node.web import events, forms, invites, keeping, media, pages
from unhush.node.web.desk import DESK, MAX_THREADS, Desk, desk_of
from unhush.node.web.errors import AddressInUse, NotLoopback, NotRunning, why_not_bound
from unhush.node.web.events import NEWS, NewsDesk
from unhush.node.web.gate import HEADERS, MAX_BODY_BYTES, MEDIA_CSP, PASSAGE, Gate, Handler, Passage, Refused
from unhush.node.web.look import Look
from unhush.node.web.seam import Verbs
from unhush.node.web.sessions import Sessions
from unhush.node.web.statics import Shelf
from unhush.node.web.uploads import UPLOAD_TYPE

log = logging.getLogger(__name__)

LABEL_BYTES: Final = 8
KEEPALIVE_S: Final = 60.0
# Requests still running at a stop get this long; the store has answered any of them by then.
SHUTDOWN_S: Final = 2.0
START_S: Final = 10.0
# What those outside may have: what the door needs to look like a door.
OUTSIDE: Final = ("/static/", "/enter")
METRICS: Final = "/metrics"
NO_METRICS: Final = "This node shows no figures; it does when started with: unhush run --metrics\n"


class WebServer:
    """The page of one node. ``start`` and ``stop`` from any thread; also a context manager."""

    def __init__(
        self,
        node: Verbs,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
        metrics: Callable[[], bytes] | None = None,
    ) -> None:
        self._node = node
        self._metrics = metrics  # figures for Prometheus; without it a line says how to have them
        self._host = loopback(host)
        self._port = port
        self._clock_ms = clock_ms
        self._sessions = Sessions(random_text, clock_ms)
        # A name nobody can guess keeps our cookie from whatever else listens on this machine.
        self._label = secrets.token_hex(LABEL_BYTES)
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._bound: tuple[str, int] | None = None
        self._failure: Exception | None = None
        self._ready = Event()

    def start(self) -> tuple[str, int]:
        """Serve; the host and port that were bound. Raises ``AddressInUse``."""
        self._ready.clear()
        self._thread = Thread(target=self._run, name="unhush-web", daemon=True)
        self._thread.start()
        self._ready.wait(START_S)
        if self._bound is None:
            self._thread.join()
            if not isinstance(self._failure, OSError):
                raise self._failure or NotRunning()
            raise AddressInUse(self._host, self._port, why_not_bound(self._failure)) from self._failure
        return self._bound

    def stop(self) -> None:
        """End every stream and request, then the thread. Twice is harmless."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._bound = None

    @property
    def origin(self) -> str:
        """The one origin that has sessions."""
        if self._bound is None:
            raise NotRunning
        return f"http://{self._label}.localhost:{self._bound[1]}"

    def one_time_address(self) -> str:
        """An address that lets one browser in, once, within ten minutes."""
        return f"{self.origin}/#{self._sessions.make_code()}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # start() raises it in the thread that asked
            self._failure = error
            if self._ready.is_set():
                log.exception("page stopped by an error")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="unhush-web-hop") as threads:
            shelf = Shelf()
            desk = Desk(self._node, Look(shelf, self._clock_ms), shelf, self._sessions, threads)
            news = NewsDesk(self._node)
            app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._gatekeeper])
            app[DESK], app[NEWS] = desk, news
            app[media.DRAWING] = asyncio.Semaphore(media.MAX_DRAWING)
            app[media.FETCHING] = asyncio.Semaphore(media.MAX_FETCHING)
            app[invites.MADE] = invites.Made()
            for part in (pages, media, forms, invites, keeping, events):
                app.add_routes(part.routes)
            app.router.add_get(METRICS, self._show_metrics)
            app.on_response_prepare.append(_put_headers)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
            await runner.setup()
            try:
                await self._listen(runner, news)
            finally:
                await news.close()
                await runner.cleanup()

    async def _listen(self, runner: web.AppRunner, news: NewsDesk) -> None:
        loop, stopping, manager = self._loop, self._stopping, runner.server
        assert loop is not None
        assert stopping is not None
        assert manager is not None

        def connection() -> Connection:
            return Connection(
                manager,
                loop=loop,
                access_log=None,  # type: ignore[arg-type]  # None is silence; AppRunner itself passes it
                keepalive_timeout=KEEPALIVE_S,
                lingering_time=1.0,
                auto_decompress=False,
            )

        server = await loop.create_server(connection, self._host, self._port)
        try:
            host, port = server.sockets[0].getsockname()[:2]
            home = f"{self._label}.localhost:{port}"
            hosts = frozenset((home, f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"))
            self._gate = Gate(hosts, home, self._sessions)
            self._bound = (host, port)
            log.info("page serving host=%s port=%d", host, port)
            self._ready.set()
            await stopping.wait()
        finally:
            server.close()
            await news.close()

    async def _show_metrics(self, request: web.Request) -> web.Response:
        """For a program on this machine that watches the node; it has no session, and the gate has judged its Host."""
        if self._metrics is None:
            return web.Response(status=404, text=NO_METRICS)
        from unhush.node.service.metrics import CONTENT_TYPE_LATEST

        body = await desk_of(request).hop(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def _gatekeeper(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Gate, then route, then a page for whatever went wrong."""
        desk = desk_of(request)
        try:
            passage = await self._gate.admit(request)
        except Refused as refusal:
            return _refusal(desk, request, refusal)
        request[PASSAGE] = passage
        if not passage.is_open and request.path not in ("/", METRICS) and not request.path.startswith(OUTSIDE):
            return desk.door("The page is shut.", status=401)
        try:
            return await self._answer(desk, request, passage, handler)
        except ConnectionError:
            raise
        except Exception:
            log.exception("page failed method=%s route=%s", request.method, request.match_info.route.resource)
            sentence = "Something went wrong here. The node's log says what; nothing you published is lost.\n"
            return web.Response(status=500, text=sentence)

    async def _answer(self, desk: Desk, request: web.Request, passage: Passage, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotFound as error:
            return await _lost(desk, request, passage, str(error), 404)
        except UnhushError as error:
            return await _lost(desk, request, passage, str(error), 400)
        except web.HTTPException as error:
            sentence = "" if error.status == 404 else f"{error.reason}."
            return await _lost(desk, request, passage, sentence, error.status)


class Connection(web.RequestHandler):
    """aiohttp's own, with our headers on the answer to what is not even HTTP."""

    __slots__ = ()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if "'Host'" in str(exc):  # the parser's own check: none, or more than one
            status = 421
        if status >= 500:
            log.error("page failed before routing error=%r", exc)
        answer = web.Response(status=status, text="This cannot be read.\n")
        answer.headers.update(HEADERS)
        answer.headers["Cache-Control"] = "no-store"
        answer.force_close()
        return answer


def loopback(host: str) -> str:
    """The loopback address of this name; raises ``NotLoopback`` for any other."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise NotLoopback(host) from None
    if not address.is_loopback:
        raise NotLoopback(host)
    return str(address)


async def _put_headers(_: web.BaseRequest, answer: web.StreamResponse) -> None:
    is_media = answer.headers.get("Content-Security-Policy") == MEDIA_CSP  # the one policy that is stricter
    answer.headers.update(HEADERS)
    if is_media:
        answer.headers["Content-Security-Policy"] = MEDIA_CSP
    answer.headers.setdefault("Cache-Control", "no-store")


def _refusal(desk: Desk, request: web.Request, refusal: Refused) -> web.Response:
    """A refusal is plain text, unless a person may be looking at it with something to lose."""
    if refusal.status in (403, 429) and request.method == "POST" and refusal.typed:
        answer = desk.door(str(refusal), status=refusal.status, typed=refusal.typed)
    else:
        answer = web.Response(status=refusal.status, text=str(refusal) + "\n")
    if refusal.status == 405:
        answer.headers["Allow"] = "GET, HEAD, POST"
    if refusal.status in (408, 413) or request.content_type == UPLOAD_TYPE:  # the rest of it is still on its way
        answer.force_close()
    return answer


async def _lost(desk: Desk, request: web.Request, passage: Passage, sentence: str, status: int) -> web.Response:
    if passage.is_open:
        return await desk.page(request, pages.lost_view, sentence, status)
    return web.Response(status=status, text="There is nothing here.\n")
