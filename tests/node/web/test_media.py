"""Pictures on the page: shown drawn anew, opened in a sandbox, uploaded through the same gate; never run."""

import io
import os
import threading
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.node.web.client import FORM, Answer, Client
from tests.support.bombs import saved

from unhush.identity.cid import Cid, cid_of, cid_of_raw
from unhush.node import Config, Node, Post, found_account
from unhush.node.web import WebServer
from unhush.node.web.desk import MAX_THREADS
from unhush.node.web.gate import MEDIA_CSP
from unhush.node.web.ranges import Unsatisfiable, parse_range
from unhush.node.web.uploads import MAX_FIELD_BYTES, MAX_FILE_BYTES, MAX_UPLOAD_BYTES
from unhush.storage.kinds import Media

BOUNDARY = "----the-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
Row = tuple[str, bytes, str]


def drawing(colour: str = "blue", size: tuple[int, int] = (30, 20)) -> bytes:
    return saved(Image.new("RGB", size, colour), "PNG")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One for all tests: to found an account takes longer than any of them."""
    config = Config(tmp_path_factory.mktemp("edda"), network="test")
    found_account(config, "Edda Sol")
    with Node.open(config) as node:
        yield node


@pytest.fixture
def node(home: Node) -> Node:
    """The home without posts and without blobs."""
    for shown in home.timeline().items:
        home.delete(shown.id)
    home._store.collect(is_now=True)  # what a deleted post alone names does not open, also if it is attached again
    for digest, _ in list(home._store.blobs.iter_blocks()):
        home._store.blobs.folder.remove(digest)
    return home


@pytest.fixture
def server(node: Node) -> Iterator[WebServer]:
    with WebServer(node) as server:
        yield server


@pytest.fixture
def client(server: WebServer) -> Client:
    client = Client(server)
    assert client.enter().status == 200
    return client


def keep(node: Node, data: bytes) -> Cid:
    """Bytes of a stranger, as they came."""
    cid = cid_of_raw(data)
    node._store.blobs.put_block(cid, data)
    return cid


def form(*parts: tuple[str, bytes | str, str | None]) -> bytes:
    """A form as a browser sends it: name, content, and the file's name if it is one."""
    lines = []
    for name, content, file in parts:
        named = f'; filename="{file}"\r\nContent-Type: application/octet-stream' if file is not None else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        lines.append(head.encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def upload(client: Client, *parts: tuple[str, bytes | str, str | None], token: str | None = None) -> Answer:
    body = form(("token", client.token if token is None else token, None), *parts)
    return client.request("POST", "/write", body, MULTIPART)


# -- looking


def test_a_picture_is_shown_small_with_its_words_and_opens_whole(client: Client, node: Node) -> None:
    media = node.attach(drawing(size=(900, 600)), 'a "blue" <field>')
    node.post("Look.", [media])

    page = client.get("/").page

    (image,) = page.all("img", src=f"/media/{media.cid}/small")
    assert image["alt"] == 'a "blue" <field>'
    assert (image["width"], image["height"]) == ("900", "600")
    assert page.all("a", href=f"/media/{media.cid}")
    small = client.get(f"/media/{media.cid}/small")
    assert (small.status, small.headers["Content-Type"], small.body) == (200, "image/webp", node.media.thumb(media.cid))
    whole = client.get(f"/media/{media.cid}")
    assert (whole.status, whole.headers["Content-Type"]) == (200, "image/png")
    assert len(whole.body) == media.size
    assert cid_of_raw(whole.body) == media.cid
    for answer in (small, whole):
        assert answer.headers["Content-Security-Policy"] == MEDIA_CSP
        assert "sandbox" in MEDIA_CSP
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert len(answer.headers.get_all("Content-Security-Policy")) == 1


def test_a_picture_that_only_a_deleted_post_names_does_not_open(client: Client, node: Node) -> None:
    media = node.attach(drawing("teal"), "")
    paths = [f"/media/{media.cid}", f"/media/{media.cid}/small"]
    first, second = node.post("One.", [media]), node.post("Two.", [media])

    node.delete(first.id)
    assert [client.get(path).status for path in paths] == [200, 200]
    node.delete(second.id)

    assert node.media.has(media.cid)
    assert [client.get(path).status for path in paths] == [404, 404]


def test_a_picture_that_is_not_here_is_told_by_its_words(client: Client, node: Node) -> None:
    media = node.attach(drawing(), "a blue <b>field</b>")
    node.post("Look.", [media])
    node._store.blobs.remove(media.cid)

    page = client.get("/").page

    assert "a blue <b>field</b>" in page.text
    assert "A picture that is not here yet" in page.text
    assert not [image for image in page.all("img") if "media" in image["src"]]
    assert client.get(f"/media/{media.cid}").status == 404


HOSTILE = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj",
    "script": b"alert(1)",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_a_file_to_save_whatever_its_author_calls_it(
    client: Client, node: Node, name: str
) -> None:
    cid = keep(node, HOSTILE[name])
    node.post(Post("Look.", media=(Media(cid, "image/svg+xml", 9, "a map"),)))

    answer = client.get(f"/media/{cid}")

    assert answer.status == 200
    assert answer.body == HOSTILE[name]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["Content-Security-Policy"] == MEDIA_CSP
    assert client.get(f"/media/{cid}/small").status == 404
    assert client.get("/").status == 200


def test_a_hostile_type_never_reaches_a_header_or_the_page(client: Client, node: Node) -> None:
    cid = keep(node, drawing())
    evil = 'image/"><script>alert(1)</script>\r\nSet-Cookie: a=b'
    node.post(Post("Look.", media=(Media(cid, evil[:100], 1, "\u202e\x00words\u2066"),)))

    page = client.get("/")

    assert "<script>alert" not in page.text
    (image,) = [image for image in page.page.all("img") if "/small" in image["src"]]
    assert image["alt"] == "words"
    assert client.get(f"/media/{cid}").headers["Content-Type"] == "image/png"


def test_media_is_shown_to_nobody_outside(server: WebServer, node: Node) -> None:
    media = node.attach(drawing())
    outside = Client(server)

    for path in (f"/media/{media.cid}", f"/media/{media.cid}/small", f"/portrait/{node.account()}"):
        assert outside.get(path).status == 401


@pytest.mark.parametrize("path", ["/media/x", "/media/../../etc/passwd", f"/media/{cid_of(b'?')}", "/portrait/x"])
def test_what_is_no_id_leads_nowhere(client: Client, path: str) -> None:
    assert client.get(path).status == 404


@pytest.mark.parametrize(
    ("asked", "stretch"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-299999", slice(100, 300_000)),
        ("bytes=262140-262150", slice(262_140, 262_151)),
        ("bytes=-5", slice(599_995, 600_000)),
        ("bytes=599990-", slice(599_990, 600_000)),
        ("bytes=0-99999999999", slice(0, 600_000)),
        ("bytes=-99999999", slice(0, 600_000)),
    ],
)
def test_a_part_can_be_asked_for(client: Client, node: Node, asked: str, stretch: slice) -> None:
    data = os.urandom(600_000)
    cid, _ = node._store.blobs.put(io.BytesIO(data))

    answer = client.get(f"/media/{cid}", {"Range": asked})

    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {stretch.start}-{stretch.stop - 1}/600000"
    assert answer.body == data[stretch]
    head = client.request("HEAD", f"/media/{cid}")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "600000", b"")
    assert client.get(f"/media/{cid}").body == data


def test_a_part_behind_the_end_is_refused_and_what_is_not_understood_gets_all(client: Client, node: Node) -> None:
    media = node.attach(drawing())
    path, tag = f"/media/{media.cid}", f'"{media.cid}"'

    refused = client.get(path, {"Range": f"bytes={media.size}-"})
    assert (refused.status, refused.headers["Content-Range"]) == (416, f"bytes */{media.size}")
    for odd in ("bytes=1-2,4-5", "lines=1-2", "bytes=5-2", "bytes=-", "bytes=a-b", "bytes= 1-2"):
        assert client.get(path, {"Range": odd}).status == 200
    assert client.get(path, {"Range": "bytes=0-3", "If-Range": '"other"'}).status == 200
    assert client.get(path, {"Range": "bytes=0-3", "If-Range": tag}).status == 206
    assert client.get(path, {"If-None-Match": tag}).status == 304


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True), st.integers(0, 2_000))
def test_whatever_is_asked_a_part_lies_inside(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except Unsatisfiable:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


def test_a_damaged_file_is_not_shown(client: Client, node: Node) -> None:
    cid = keep(node, drawing())
    (path,) = (node.config.home / "blobs").glob("??/*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    assert client.get(f"/media/{cid}").status == 404
    assert client.get(f"/media/{cid}").status == 404


def test_pictures_that_take_long_to_draw_leave_the_page_its_threads(
    client: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid, drawn = keep(node, drawing()), threading.Event()
    monkeypatch.setattr(node.media, "thumb", lambda _cid: drawn.wait(30) and b"RIFF....WEBP")
    askers = [threading.Thread(target=client.get, args=(f"/media/{cid}/small",)) for _ in range(2 * MAX_THREADS)]
    for asker in askers:
        asker.start()
    try:
        assert client.get("/").status == 200
        assert not drawn.is_set()
    finally:
        drawn.set()
        for asker in askers:
            asker.join()


def test_a_portrait_is_the_avatar_and_without_one_the_sign_of_the_account(client: Client, node: Node) -> None:
    me = node.account()
    assert f"/portrait/{me}" in client.get("/").text
    assert client.get(f"/portrait/{me}").headers["Content-Type"].startswith("image/svg+xml")

    media = node.attach(drawing("green"))
    node.set_profile(avatar=media)

    answer = client.get(f"/portrait/{me}")
    assert (answer.headers["Content-Type"], answer.body) == ("image/webp", node.media.thumb(media.cid))


# -- writing


def test_pictures_are_published_with_their_words(client: Client, node: Node) -> None:
    (form_tag,) = client.get("/write").page.all("form", action="/write")
    assert form_tag["enctype"] == "multipart/form-data"

    answer = upload(
        client,
        ("text", "Two\r\npictures.", None),
        ("image", drawing(), "a.png"),
        ("alt", "a blue field", None),
        ("image", b"", ""),
        ("alt", "words on nothing", None),
        ("image", drawing("red"), "../../b.png"),
        ("alt", "", None),
    )

    assert answer.status == 303
    (shown,) = node.timeline().items
    assert shown.text == "Two\npictures."
    assert [(item.alt, item.is_local) for item in shown.media] == [("a blue field", True), ("", True)]


def test_a_post_with_the_form_of_the_page_and_no_picture_is_a_post(client: Client, node: Node) -> None:
    assert upload(client, ("text", "Words alone.", None), ("image", b"", ""), ("alt", "", None)).status == 303
    assert upload(client, ("text", "", None), ("image", b"", ""), ("alt", "", None)).status == 422
    assert upload(client, ("text", "", None), ("image", drawing(), "a.png"), ("alt", "", None)).status == 303
    assert [len(shown.media) for shown in node.timeline().items] == [1, 0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([b"<svg/>"], "no JPEG, PNG, GIF or WebP picture"),
        ([drawing()[:50]], "not taken"),
        ([bytes(MAX_FILE_BYTES + 1)], "A picture can have 5 MiB"),
        ([drawing(), b"GIF89a"], "Choose the pictures again"),
        ([drawing()] * 9, "at most 8 pictures"),
    ],
)
def test_a_picture_that_will_not_do_gives_back_what_was_typed(
    client: Client, node: Node, rows: list[bytes], said: str
) -> None:
    answer = upload(client, ("text", "My words.", None), *(("image", row, "a.png") for row in rows))

    assert answer.status == 422
    assert said in answer.page.text
    assert "My words." in answer.text
    assert node.timeline().items == ()


@pytest.mark.parametrize("token", ["", "wrong", "a" * 100_000])
def test_a_form_with_files_needs_the_token_before_anything_else(client: Client, node: Node, token: str) -> None:
    assert upload(client, ("text", "Not mine.", None), ("image", drawing(), "a.png"), token=token).status == 403
    assert node.timeline().items == ()
    assert list(node._store.blobs.iter_blocks()) == []


def test_a_token_that_does_not_come_first_does_not_count(client: Client, node: Node) -> None:
    body = form(("text", "Not mine.", None), ("token", client.token, None))

    assert client.request("POST", "/write", body, MULTIPART).status == 403
    as_file = form(("token", client.token, "token.txt"), ("text", "Not mine.", None))
    assert client.request("POST", "/write", as_file, MULTIPART).status == 403
    assert node.timeline().items == ()


def test_nobody_outside_and_no_other_page_uploads(server: WebServer, client: Client, node: Node) -> None:
    body = form(("token", client.token, None), ("text", "Not mine.", None))

    assert Client(server).request("POST", "/write", body, MULTIPART).status == 403
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert client.request("POST", "/write", body, {**MULTIPART, **headers}).status == 403
    assert node.timeline().items == ()


@pytest.mark.parametrize("path", ["/profile", "/people", "/network", "/leave", "/enter"])
def test_forms_with_files_go_to_the_write_form_only(client: Client, path: str) -> None:
    body = form(("token", client.token, None), ("name", "Somebody", None))

    assert client.request("POST", path, body, MULTIPART).status == 415


def test_an_upload_that_says_it_is_too_long_is_refused_unread(client: Client) -> None:
    headers = {"Host": client.host, **client.cookies(), **MULTIPART, "Content-Length": str(MAX_UPLOAD_BYTES + 1)}

    assert client.raw("POST", "/write", b"--", headers.items()).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        f"--{BOUNDARY}\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x--\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}--\r\n".encode(),
    ],
)
def test_a_broken_form_is_refused(client: Client, node: Node, body: bytes) -> None:
    assert client.request("POST", "/write", body, MULTIPART).status in (400, 403)
    assert client.request("POST", "/write", body, {"Content-Type": "multipart/form-data"}).status in (400, 403)
    assert node.timeline().items == ()


def test_a_text_that_is_far_too_long_is_refused_and_one_a_little_too_long_comes_back(
    client: Client, node: Node
) -> None:
    little = "a" * 50_000
    answer = upload(client, ("text", little, None))
    assert answer.status == 422
    assert little in answer.text

    assert upload(client, ("text", "a" * (MAX_FIELD_BYTES + 1), None)).status == 422
    assert upload(client, ("text", b"\xff\xfe", None)).status == 422
    assert node.timeline().items == ()


def test_a_flood_of_fields_is_refused(client: Client, node: Node) -> None:
    assert upload(client, *(("more", "x", None) for _ in range(1_000))).status == 422
    assert node.timeline().items == ()


def test_the_plain_form_goes_on_working(client: Client, node: Node) -> None:
    body = urlencode({"token": client.token, "text": "Plain."})

    assert client.request("POST", "/write", body, FORM).status == 303
    assert node.timeline().items[0].text == "Plain."
