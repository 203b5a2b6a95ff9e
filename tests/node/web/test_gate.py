"""The first gate: who may ask at all, on every route, and what no answer goes without."""

import socket
from itertools import product
from urllib.parse import urlencode

import pytest
from tests.node.web.client import FORM, Client
from tests.node.web.conftest import Clock
from tests.node.web.fake import ME, FakeNode

from unhush.identity.cid import cid_of
from unhush.node.web import AddressInUse, NotLoopback, WebServer
from unhush.node.web.gate import CSP, MAX_BODY_BYTES

POST_ID = cid_of(b"a post")
READS = (
    "/", "/write", "/people", "/network", "/profile", "/events?since=0", f"/post/{POST_ID}", f"/person/{ME}",
    "/activity", "/tag?name=x", f"/person/{ME}/followers", f"/person/{ME}/follows",
    "/lists", "/list?name=x",
    *(f"/post/{POST_ID}/{page}" for page in ("edit", "delete", "quote", "history")),
    f"/sigil/{ME}.svg", f"/banner/{ME}.svg", f"/portrait/{ME}", f"/media/{POST_ID}", f"/media/{POST_ID}/small",
    "/static/nothing.css", "/nothing",
)  # fmt: skip
WRITES = (
    ("/write", {"text": "not mine"}),
    ("/people", {"account": str(cid_of(b"somebody"))}),
    ("/network", {"address": "/ip4/192.0.2.7/tcp/4470"}),
    ("/profile", {"name": "Not me", "bio": ""}),
    ("/leave", {}),
    (f"/person/{cid_of(b'somebody')}/follow", {}),
    (f"/person/{cid_of(b'somebody')}/unfollow", {}),
    (f"/post/{POST_ID}/reply", {"text": "not mine"}),
    (f"/post/{POST_ID}/delete", {}),
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "unhush",
}


def wrong_hosts(port: int, home: str) -> list[list[str]]:
    """Twelve ways to name another host than ours."""
    return [
        [],
        [""],
        ["evil.example"],
        [f"evil.example:{port}"],
        ["127.0.0.1"],
        ["127.0.0.1:1"],
        [f"0.0.0.0:{port}"],
        [f"127.0.0.1.evil.example:{port}"],
        [f"evil.localhost:{port}"],
        [
            f"{home}.",
        ],
        [f"user@{home}"],
        [home, home],
    ]


def test_every_route_refuses_twelve_other_hosts(client: Client) -> None:
    answers = {
        (path, method, tuple(hosts)): client.raw(
            method,
            path,
            urlencode({"token": client.token, **fields}) if method == "POST" else None,
            [
                *(("Host", host) for host in hosts),
                *client.cookies().items(),
                *(FORM.items() if method == "POST" else ()),
            ],
        ).status
        for (path, method, fields), hosts in product(
            [*((path, "GET", {}) for path in READS), *((path, "POST", fields) for path, fields in WRITES)],
            wrong_hosts(client.port, client.host),
        )
    }
    assert len(answers) == 12 * (len(READS) + len(WRITES))
    assert set(answers.values()) == {421}


def test_http_1_0_needs_a_host_too(client: Client) -> None:
    said = f"GET / HTTP/1.0\r\nCookie: {client.cookie}\r\n\r\n".encode()
    assert _speak(client.port, said)[0] == 421


def test_a_target_of_another_origin_is_not_ours(client: Client) -> None:
    assert client.get("http://evil.example/").status == 421


def test_only_the_unguessable_name_has_sessions(client: Client) -> None:
    for host in (f"127.0.0.1:{client.port}", f"localhost:{client.port}"):
        answer = client.get("/people", {"Host": host})
        assert answer.status == 401
        assert "Edda" not in answer.text


FOREIGN = {
    "origin of another site": {"Origin": "https://evil.example"},
    "origin of another port": {"Origin": "http://127.0.0.1:1"},
    "origin of our other name": {"Origin": "http://localhost:{port}"},
    "origin over https": {"Origin": "https://{host}"},
    "origin null": {"Origin": "null"},
    "origin null from another site": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "empty origin": {"Origin": ""},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another port": {"Sec-Fetch-Site": "same-site"},
    "unknown site": {"Sec-Fetch-Site": "somewhere"},
    "a click elsewhere": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_request_that_another_page_sent_changes_nothing(client: Client, node: FakeNode, case: str) -> None:
    headers = {name: value.format(port=client.port, host=client.host) for name, value in FOREIGN[case].items()}
    statuses = {client.submit(path, fields, headers=headers).status for path, fields in WRITES}
    assert statuses == {403}
    assert node.calls == []


@pytest.mark.parametrize("token", ["", "wrong", "ü", "A" * 32])
def test_a_form_without_the_token_changes_nothing(client: Client, node: FakeNode, token: str) -> None:
    assert {client.submit(path, {**fields, "token": token}).status for path, fields in WRITES} == {403}
    assert node.calls == []


def test_the_token_of_another_session_changes_nothing(client: Client, node: FakeNode) -> None:
    other = Client(client.server)
    other.enter()
    assert client.submit("/write", {"text": "no", "token": other.token}).status == 403
    assert node.calls == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "multipart/form-data; boundary=x", "application/xml", "", None]
)
def test_a_body_that_is_no_plain_form_changes_nothing(client: Client, node: FakeNode, content_type: str | None) -> None:
    for path, fields in WRITES:
        body = urlencode({"token": client.token, **fields})
        headers = {} if content_type is None else {"Content-Type": content_type}
        # The write form takes files too; these bytes are no such form either.
        is_upload = path == "/write" and (content_type or "").startswith("multipart/")
        assert client.request("POST", path, body, headers).status == (400 if is_upload else 415)
    assert node.calls == []


def test_two_content_types_are_none(client: Client, node: FakeNode) -> None:
    body = urlencode({"token": client.token, "text": "no"})
    headers = [("Host", client.host), *client.cookies().items(), *FORM.items(), ("Content-Type", "text/plain")]
    assert client.raw("POST", "/write", body, headers).status in (400, 415)
    assert node.calls == []


def test_our_own_forms_pass(client: Client, node: FakeNode) -> None:
    """A browser writes ``Origin: null`` on the forms of a page that sends no referrer."""
    for headers in (
        {},
        {"Origin": f"http://{client.host}"},
        {"Origin": f"http://{client.host}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert client.submit("/write", {"text": "mine"}, headers=headers).status == 303
    assert node.calls == [("post", "mine")] * 5


def test_a_click_from_elsewhere_sees_the_door_and_nothing_more(client: Client) -> None:
    click = FOREIGN["a click elsewhere"]
    answer = client.get("/", click)
    assert answer.status == 200
    assert "Edda" not in answer.text
    assert [link["href"] for link in answer.page.all("a")] == ["/"]
    assert client.get("/people", click).status == 403
    assert client.get("/", {**click, "Sec-Fetch-Dest": "iframe"}).status == 403
    assert client.get("/", {"Sec-Fetch-Site": "cross-site"}).status == 403


def test_options_is_refused_and_no_answer_invites_other_origins(client: Client) -> None:
    for path in READS:
        answer = client.request("OPTIONS", path, None, {"Access-Control-Request-Method": "POST"})
        assert answer.status == 403
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    assert client.request(method, "/").status == 405


def test_a_body_beyond_the_bound_is_refused(client: Client, node: FakeNode) -> None:
    assert client.submit("/write", {"text": "x" * MAX_BODY_BYTES}).status == 413
    assert node.calls == []


def test_a_compressed_body_is_refused(client: Client) -> None:
    assert client.submit("/write", {"text": "x"}, headers={"Content-Encoding": "gzip"}).status == 415


@pytest.mark.parametrize("body", ["token=%FF", "a&" * 40, "text=\u00fc"])
def test_a_form_that_cannot_be_read_is_refused(client: Client, body: str) -> None:
    assert client.request("POST", "/write", body, FORM).status in (400, 403)


def test_ten_bad_tokens_a_minute_are_enough(client: Client, node: FakeNode, clock: Clock) -> None:
    statuses = [client.submit("/write", {"text": "no", "token": "bad"}).status for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert client.server.one_time_address()
    assert Client(client.server).enter().status == 429
    assert client.submit("/write", {"text": "still mine"}).status == 303
    clock.now_ms += 60_000
    assert Client(client.server).enter().status == 200
    assert node.calls == [("post", "still mine")]


def test_a_code_opens_once(server: WebServer) -> None:
    code = server.one_time_address().rpartition("#")[2]
    assert Client(server).enter(code).status == 200
    assert Client(server).enter(code).status == 403


def test_a_code_is_over_after_ten_minutes(server: WebServer, clock: Clock) -> None:
    code = server.one_time_address().rpartition("#")[2]
    clock.now_ms += 10 * 60_000
    assert Client(server).enter(code).status == 403


def test_the_cookie_is_kept_from_scripts_and_other_sites(outside: Client) -> None:
    answer = outside.enter()
    attributes = {part.strip().lower() for part in answer.headers["Set-Cookie"].split(";")[1:]}
    assert attributes == {"httponly", "samesite=strict", "path=/"}


def test_leaving_ends_the_session(client: Client) -> None:
    assert client.submit("/leave", {}).status == 303
    assert client.get("/people").status == 401


def test_outside_every_page_is_shut(outside: Client) -> None:
    outside_of = {path: outside.get(path) for path in READS}
    assert {path: answer.status for path, answer in outside_of.items()} == {
        path: 200 if path == "/" else 404 if path.startswith("/static/") else 401 for path in READS
    }
    assert not any("Edda" in answer.text or str(ME) in answer.text for answer in outside_of.values())
    assert "unhush open" in outside_of["/"].text, "a service has no terminal to press Enter in"


def test_every_answer_has_the_headers(client: Client, outside: Client) -> None:
    answers = {
        "home": client.get("/"),
        "door": outside.get("/"),
        "shut": outside.get("/people"),
        "static": client.get(client.get("/").page.all("link", rel="stylesheet")[0]["href"]),
        "picture": client.get(f"/sigil/{ME}.svg"),
        "lost": client.get("/nothing"),
        "lost post": client.get(f"/post/{POST_ID}"),
        "lost file": client.get("/static/nothing.css"),
        "redirect": client.submit("/write", {"text": "mine"}),
        "unfit": client.submit("/write", {"text": ""}),
        "no token": client.submit("/write", {"text": "no", "token": ""}),
        "wrong host": client.get("/", {"Host": "evil.example"}),
        "options": client.request("OPTIONS", "/"),
        "method": client.request("DELETE", "/"),
        "no such form": client.submit("/network/nothing", {}),
        "form on a page": client.submit("/static/x", {}),
        "too much": client.submit("/write", {"text": "x" * MAX_BODY_BYTES}),
        "type": client.request("POST", "/write", "x", {"Content-Type": "text/plain"}),
        "not http": _speak(client.port, b"\x16\x03\x01 nonsense\r\n\r\n"),
        "huge header": _speak(client.port, b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"),
        "stream": _speak(
            client.port,
            f"GET /events?since=0 HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n\r\n".encode(),
        ),
    }
    for name, answer in answers.items():
        headers = answer[1] if isinstance(answer, tuple) else dict(answer.headers)
        assert {key: headers.get(key) for key in HEADERS} == HEADERS, name
    statuses = {name: answer[0] if isinstance(answer, tuple) else answer.status for name, answer in answers.items()}
    assert statuses == {
        "home": 200, "door": 200, "shut": 401, "static": 200, "picture": 200, "lost": 404, "lost post": 404,
        "lost file": 404, "redirect": 303, "unfit": 422, "no token": 403, "wrong host": 421, "options": 403,
        "method": 405, "no such form": 404, "form on a page": 405, "too much": 413, "type": 415,
        "not http": 400, "huge header": 400, "stream": 200,
    }  # fmt: skip


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
def test_other_addresses_than_loopback_are_refused(node: FakeNode, host: str) -> None:
    with pytest.raises(NotLoopback):
        WebServer(node, host, 0)


def test_a_taken_port_is_said(node: FakeNode, server: WebServer) -> None:
    port = int(server.origin.rpartition(":")[2])
    with pytest.raises(AddressInUse, match=f"port {port}: another program has that port; choose another port"):
        WebServer(node, "127.0.0.1", port).start()


def _speak(port: int, said: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of the answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(said)
        heard = b""
        while b"\r\n\r\n" not in heard and (chunk := connection.recv(65_536)):
            heard += chunk
    first, *lines = heard.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)
