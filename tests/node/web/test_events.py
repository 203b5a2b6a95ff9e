"""News as it comes: the count, the cursor, and the bounds."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.node.web.client import Client
from tests.node.web.fake import ME, FakeNode

from unhush.node.web import WebServer, events

LAST = "Last-Event-ID"


@contextmanager
def stream(client: Client, since: int, thread: str = "", **headers: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    sent = {
        "Host": client.host,
        **client.cookies(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection.request("GET", f"/events?since={since}{thread and f'&thread={thread}'}", headers=sent)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def next_event(answer: http.client.HTTPResponse) -> tuple[int, int]:
    """The id and the count of the next event."""
    aid = None
    while line := answer.readline().decode().rstrip("\n"):
        pass
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("id: "):
            aid = int(line[4:])
        elif line.startswith("data: ") and aid is not None:
            return aid, json.loads(line[6:])["new"]


def test_the_page_hands_over_its_place_and_the_stream_goes_on_from_there(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    node.hears(ines, "before")
    since = int(client.get("/").page.all("a", id="pill")[0]["data-since"])
    with stream(client, since) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        threading.Timer(0.1, node.hears, (ines, "after")).start()
        assert next_event(answer) == (since + 1, 1)


def test_a_conversation_hears_of_its_answers_and_of_nothing_else(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    root = node.hears(ines, "who is there?")
    pill = client.get(f"/post/{root.id}").page.all("a", id="pill")[0]
    assert pill["data-thread"] == str(root.id)
    with stream(client, int(pill["data-since"]), pill["data-thread"]) as answer:
        node.hears(ines, "something else")
        assert next_event(answer)[1] == 0
        node.reply(root.id, "me")
        assert next_event(answer)[1] == 1
    with stream(client, 0, "nonsense") as answer:
        assert answer.status == 400


def test_what_came_while_nobody_listened_is_told_at_once(client: Client, node: FakeNode) -> None:
    ines = node.meet("ines", "Ines Lind")
    for _ in range(5):
        node.hears(ines, "x")
    with stream(client, 2) as answer:
        assert next_event(answer) == (5, 3)


def test_a_stream_that_broke_off_tells_the_whole_count_again_only_when_there_is_more(
    client: Client, node: FakeNode
) -> None:
    ines = node.meet("ines", "Ines Lind")
    for _ in range(5):
        node.hears(ines, "x")
    with stream(client, 2, Last_Event_ID="5") as answer:
        threading.Timer(0.1, node.hears, (ines, "y")).start()
        assert next_event(answer) == (6, 4)


def test_posts_of_people_you_do_not_follow_are_no_news(client: Client, node: FakeNode) -> None:
    stranger = node.meet("stranger", "Somebody", followed=False)
    node.hears(stranger, "x")
    with stream(client, 0) as answer:
        assert next_event(answer) == (1, 0)


@pytest.mark.parametrize("since", ["", "-1", "x", "1e3", "9" * 30, "²"])
def test_a_stream_must_say_since_when(client: Client, since: str) -> None:
    from urllib.parse import quote

    assert client.get(f"/events?since={quote(since)}").status == 400


def test_a_broken_cursor_falls_back_to_where_the_page_stood(client: Client, node: FakeNode) -> None:
    node.hears(ME, "x")
    with stream(client, 0, Last_Event_ID="nonsense") as answer:
        assert next_event(answer) == (1, 1)


def test_streams_are_bounded(client: Client) -> None:
    opened = [stream(client, 0) for _ in range(events.MAX_STREAMS)]
    answers = [one.__enter__() for one in opened]
    try:
        assert {answer.status for answer in answers} == {200}
        refused = client.get("/events?since=0")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    finally:
        for one in opened:
            one.__exit__(None, None, None)


def test_a_server_stops_with_streams_open(node: FakeNode) -> None:
    with WebServer(node) as server:
        client = Client(server)
        client.enter()
        with stream(client, 0) as answer:
            assert answer.status == 200
            began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 5
    server.stop()
