"""What every handler has at hand: the node, the look, the sessions, and threads to wait in.

A handler makes one hop: :meth:`Desk.page` runs a function of blocking node verbs
in a thread and renders its answer there, so the loop never waits for a disk.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from aiohttp import web

from unhush.node.web.gate import PASSAGE
from unhush.node.web.look import Look
from unhush.node.web.seam import Verbs
from unhush.node.web.sessions import Session, Sessions
from unhush.node.web.statics import Shelf

P = ParamSpec("P")
T = TypeVar("T")

# One person and a few tabs; more would only queue at the store.
MAX_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class View:
    """A page to be: template, values, and the status it is answered with."""

    template: str
    values: dict[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """The shared things of one server."""

    node: Verbs
    look: Look
    shelf: Shelf
    sessions: Sessions
    threads: ThreadPoolExecutor

    async def hop(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in one of our threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, lambda: work(*args, **kwargs))

    async def page(
        self, request: web.Request, make: Callable[Concatenate[Verbs, P], View], /, *args: P.args, **kwargs: P.kwargs
    ) -> web.Response:
        """Ask the node and render, in one hop."""
        session = session_of(request)
        path = request.path_qs if request.method == "GET" else "/"  # what can be come back to

        def work() -> tuple[str, int]:
            view = make(self.node, *args, **kwargs)
            return self._render(view, session, path), view.status

        text, status = await self.hop(work)
        return html(text, status)

    def door(self, sentence: str = "", *, status: int = 200, typed: str = "", leads_on: bool = False) -> web.Response:
        """The page of those who are not in; it says nothing about the node."""
        return html(self.look.render("door.j2", sentence=sentence, typed=typed, leads_on=leads_on), status)

    def _render(self, view: View, session: Session, path: str) -> str:
        me = self.node.status()
        usual = {"me": me, "token": session.token, "here": "", "path": path}
        return self.look.render(view.template, **(usual | view.values))


DESK: Final = web.AppKey("desk", Desk)


def desk_of(request: web.Request) -> Desk:
    return request.app[DESK]


def session_of(request: web.Request) -> Session:
    """The session of a request that the inner routes see: the gatekeeper let no other through."""
    session = request[PASSAGE].session
    assert session is not None
    return session


def html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
