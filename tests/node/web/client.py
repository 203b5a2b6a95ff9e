"""A browser by hand: raw requests to a page, with the headers we choose and none we do not."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlencode

from unhush.node.web import WebServer

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def page(self) -> "PageReader":
        return PageReader.of(self.text)


@dataclass
class Client:
    """One browser: its cookie and token once it is in."""

    server: WebServer
    cookie: str = ""
    token: str = ""

    @property
    def host(self) -> str:
        return self.server.origin.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.host.rpartition(":")[2])

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        return self.raw(method, path, body, {"Host": self.host, **self.cookies(), **headers}.items())

    def raw(self, method: str, path: str, body: bytes | str | None, headers) -> Answer:
        """Exactly these headers, in this order, and a length."""
        content = body.encode() if isinstance(body, str) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if content is not None and not any(name == "Content-Length" for name, _ in headers):
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def cookies(self) -> dict[str, str]:
        return {"Cookie": self.cookie} if self.cookie else {}

    def enter(self, code: str | None = None) -> Answer:
        code = code or self.server.one_time_address().rpartition("#")[2]
        answer = self.request("POST", "/enter", urlencode({"code": code}), FORM)
        if answer.status == 200:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
            self.token = self.get("/write").page.token
        return answer

    def get(self, path: str, headers: Mapping[str, str] = {}) -> Answer:
        return self.request("GET", path, None, headers)

    def submit(self, path: str, fields: Mapping[str, str], *, headers: Mapping[str, str] = {}) -> Answer:
        return self.request("POST", path, urlencode({"token": self.token, **fields}), {**FORM, **headers})


@dataclass
class PageReader(HTMLParser):
    """What a page holds, by the standard library's parser: every tag with its attributes, and its text."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> "PageReader":
        reader = cls()
        HTMLParser.__init__(reader)
        reader.feed(text)
        reader.close()
        return reader

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def token(self) -> str:
        return next((attrs["value"] for tag, attrs in self.tags if tag == "input" and attrs.get("name") == "token"), "")

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and all(attrs.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]
