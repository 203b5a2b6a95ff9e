"""The first gate: what a request must be before anything looks at what it wants.

A browser sends other people's requests in our person's name, and any program
on this machine can knock. So, before routing and for every answer, errors,
files and streams included:

- exactly one ``Host``, one of ours with our port, else 421 (rebinding);
- ``Origin`` absent or ours. Our pages send no referrer, which makes browsers
  write ``Origin: null`` on our own forms: that counts as ours only beside
  ``Sec-Fetch-Site: same-origin``, which no page can forge;
- ``Sec-Fetch-Site`` absent, ``same-origin`` or ``none``; another port is
  ``same-site`` and is refused. One exception, judged harmless: a person may
  click the one-time address in a web terminal or a letter (``cross-site``), so
  a top-level ``GET /`` passes, and is answered with the door, never a page;
- ``OPTIONS`` 403, no CORS header ever; methods other than GET, HEAD, POST 405;
- state-changing requests carry a plain form of at most 256 KiB, a session's
  cookie and its token, compared in constant time; ten bad ones a minute, then
  429. Entering needs a one-time code in place of the token. A form with files
  (``uploads.py``) has the token first, and nothing behind it is looked at before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from unhush.node.web.errors import WebError
from unhush.node.web.sessions import Session, Sessions
from unhush.node.web.uploads import MAX_UPLOAD_BYTES, UPLOAD_PATHS, UPLOAD_TYPE, BadUpload, Upload

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    # Our script writes text, never markup, so it needs no policy and nobody else may make one.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# For files that somebody else made: nothing in them runs, loads or sends.
MEDIA_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox"
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "unhush",  # and not which version of what
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
COOKIE: Final = "unhush"
TOKEN_FIELD: Final = "token"  # noqa: S105 - the name of a field
FORM_TYPE: Final = "application/x-www-form-urlencoded"
# A post is at most 48 KiB; percent-encoding triples that, and a page sends one post.
MAX_BODY_BYTES: Final = 256 * 1024
MAX_FORM_FIELDS: Final = 16
# A page on this machine sends its form at once; whoever dribbles is not one.
BODY_TIMEOUT_S: Final = 10.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Passage:
    """What the gate found out about a request it let through."""

    session: Session | None  # None: shut out, show the door
    form: Mapping[str, str]  # of a state-changing request, its token checked
    upload: Upload | None = None  # of a form with files: what follows the token
    is_foreign_click: bool = False  # a link on some other page led here: the cookie, if any, was not looked at

    @property
    def is_open(self) -> bool:
        return self.session is not None


class Refused(WebError):
    """The gate's no: a status, a sentence, and what the person had typed, so it can be handed back."""

    def __init__(self, status: int, sentence: str, typed: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.typed = typed


PASSAGE: Final = web.RequestKey("passage", Passage)


class Gate:
    """The rules, held by one server for its own names and sessions."""

    def __init__(self, hosts: frozenset[str], home: str, sessions: Sessions) -> None:
        self._hosts = hosts
        self._home = home  # the one name that has sessions: cookies of 127.0.0.1 go to every port
        self._sessions = sessions

    async def admit(self, request: web.Request) -> Passage:
        """The passage of a request, or ``Refused``."""
        self._check_address(request)
        is_foreign_click = self._check_sender(request)
        if request.method == "OPTIONS":
            raise Refused(403, "Pages of other origins have nothing to ask here.")
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, f"The page does not know the method {request.method[:16]}.")
        session = None if is_foreign_click else self._session(request)
        if request.method != "POST":
            return Passage(session, {}, is_foreign_click=is_foreign_click)
        if request.path in UPLOAD_PATHS and request.content_type == UPLOAD_TYPE:
            return Passage(session, {}, await self._upload(request, session))
        if request.path == "/enter":
            return Passage(session, await self._form(request))
        form = await self._form(request)
        self._check_token(session, form)
        return Passage(session, form)

    def _check_address(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts or not request.raw_path.startswith("/"):
            raise Refused(421, "This is not the address of this page.")

    def _check_sender(self, request: web.Request) -> bool:
        """Whether the request is a person's click on some other page; anything else from there is refused."""
        sites = request.headers.getall("Sec-Fetch-Site", [])
        origins = request.headers.getall("Origin", [])
        ours = {f"http://{request.headers['Host'].lower()}"}
        if sites == ["same-origin"]:
            ours.add("null")
        if origins and (len(origins) > 1 or origins[0].lower() not in ours):
            raise Refused(403, "Another page sent this; nothing was done.")
        if sites in ([], ["same-origin"], ["none"]):
            return False
        if (
            sites in (["cross-site"], ["same-site"])
            and request.method == "GET"
            and request.raw_path == "/"
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") == "document"
        ):
            return True
        raise Refused(403, "Another page sent you here. Open the address yourself instead.")

    def _session(self, request: web.Request) -> Session | None:
        if request.headers["Host"].lower() != self._home:
            return None
        return self._sessions.find(request.cookies.get(COOKIE, ""))

    async def _form(self, request: web.Request) -> Mapping[str, str]:
        kinds = request.headers.getall("Content-Type", [])
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != FORM_TYPE:
            raise Refused(415, "The page takes plain forms only.")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(415, "The page takes plain forms only.")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise Refused(413, f"That is more than the page takes at once ({MAX_BODY_BYTES // 1024} KiB).")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(413, f"That is more than the page takes at once ({MAX_BODY_BYTES // 1024} KiB).") from None
        except TimeoutError:
            raise Refused(408, "The form did not arrive in time.") from None
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FORM_FIELDS,
            )
        except ValueError:
            raise Refused(400, "That form cannot be read.") from None
        return dict(pairs)

    async def _upload(self, request: web.Request, session: Session | None) -> Upload:
        """A form with files, its token checked."""
        if len(request.headers.getall("Content-Type", [])) != 1 or "Content-Encoding" in request.headers:
            raise Refused(415, "The page takes plain forms only.")
        if (request.content_length or 0) > MAX_UPLOAD_BYTES:
            raise Refused(413, f"That is more than the page takes at once ({MAX_UPLOAD_BYTES // 2**20} MiB).")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                upload = await Upload.open(request)
                first = await upload.next()
                form = {first.name: first.text} if first is not None and not first.is_file else {}
        except TimeoutError:
            raise Refused(408, "The form did not arrive in time.") from None
        except BadUpload as error:
            raise Refused(400, str(error)) from None
        self._check_token(session, form)
        return upload

    def _check_token(self, session: Session | None, form: Mapping[str, str]) -> None:
        if session is not None and self._sessions.is_token(session, form.get(TOKEN_FIELD, "")):
            return
        typed = form.get("text") or form.get("bio", "")
        if self._sessions.note_bad():
            raise Refused(429, "Too many attempts that were not yours. Wait a minute.", typed)
        raise Refused(403, "This page was opened in a session that is over; nothing was done.", typed)
