"""The host as the layers above use it."""

import os
import socket
from typing import Any

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from unhush.gossip.errors import DialFailed, NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import ConnectedPeer, HostConfig, Stream, Verdict, open_host
from unhush.gossip.net.wire import doorman, muxer
from unhush.gossip.proto import visits

TOPICS = frozenset(f"/unhush/1/test/{shard}" for shard in range(16))
TOPIC = "/unhush/1/test/3"
NOBODY = "12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7"


def test_hosts_connect_speak_and_part(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        events: list[tuple[str, ConnectedPeer]] = []

        async def shout(stream: Stream) -> None:
            await stream.write((await stream.read()).upper())

        async with our_host() as a, our_host() as b:
            a.on_connected(lambda peer: events.append(("came", peer)))
            a.on_disconnected(lambda peer: events.append(("went", peer)))
            a.handle("/shout", shout)
            assert await b.dial(a.addresses()[0]) == a.peer_id
            assert [peer.peer_id for peer in b.connected()] == [a.peer_id]
            assert b.connected()[0].address == a.addresses()[0].partition("/p2p/")[0]
            assert not b.connected()[0].inbound

            stream = await b.open_stream(a.peer_id, "/shout")
            await stream.write(b"hello")
            assert await stream.read() == b"HELLO"
            assert await stream.read() == b""
            await stream.close()

            await b.disconnect(a.peer_id)
            await until(lambda: not a.connected() and not b.connected())
            assert [(what, peer.peer_id, peer.inbound) for what, peer in events] == [
                ("came", b.peer_id, True),
                ("went", b.peer_id, True),
            ]
            assert await b.dial(a.addresses()[0]) == a.peer_id

    run(scene)


def test_dialling_twice_at_once_makes_one_connection(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b:
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(b.dial, a.addresses()[0])
            await until(lambda: bool(a.connected()))
            assert len(a._swarm.get_connections()) == 1

    run(scene)


def test_dialling_each_other_at_once_leaves_both_connected(run: Any, our_host: Any, serves: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b:
            came: list[str] = []
            a.on_connected(lambda peer: came.append(peer.peer_id))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.dial, b.addresses()[0])
                nursery.start_soon(b.dial, a.addresses()[0])
            await trio.sleep(0.3)
            assert [peer.peer_id for peer in a.connected()] == [b.peer_id]
            assert came == [b.peer_id]
            await serves(a)

    run(scene)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "/ip4/127.0.0.1/tcp/1",
        f"/ip4/127.0.0.1/tcp/99999/p2p/{NOBODY}",
        f"/ip4/300.0.0.1/tcp/1/p2p/{NOBODY}",
        f"/ip4/127.0.0.1/udp/1/quic-v1/p2p/{NOBODY}",
        f"/ip4/127.0.0.1/tcp/1/ws/p2p/{NOBODY}",
        f"/unix/tmp/p2p/{NOBODY}",
        "/ip4/127.0.0.1/tcp/1/p2p/nobody",
        f"/ip4/127.0.0.1/tcp/1/p2p/{NOBODY}",
        "/ip4/127.0.0.1/tcp/1/p2p/" + "1" * 10_000,
        "\x00",
    ],
)
def test_an_address_that_leads_nowhere_is_a_failed_dial(address: str, run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            with pytest.raises(DialFailed):
                await ours.dial(address)

    run(scene)


def test_dialling_oneself_is_refused(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            with pytest.raises(DialFailed, match="ourselves"):
                await ours.dial(ours.addresses()[0])

    run(scene)


def test_somebody_else_at_the_address_is_a_failed_dial(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b:
            with pytest.raises(DialFailed):
                await b.dial(a.addresses()[0].replace(a.peer_id, NOBODY))
            assert not b.connected()

    run(scene)


def test_the_same_seed_is_the_same_peer(run: Any) -> None:
    async def scene() -> None:
        config = HostConfig(b"s" * 32, (), "test")
        async with open_host(config) as ours:
            first = ours.peer_id
        async with open_host(config) as ours:
            assert ours.peer_id == first

    run(scene)


def test_a_host_names_its_agent_and_speaks_noise_and_yamux_only(run: Any, our_host: Any, stock_host: Any) -> None:
    async def scene() -> None:
        async with our_host(agent="unhush/9") as ours, stock_host() as stranger:
            await stranger.connect(ours.addresses()[0])
            stream = await stranger.stream(ours.peer_id, "/ipfs/id/1.0.0")
            assert b"unhush/9" in await stream.read(65_536)
            upgrader = ours._swarm.upgrader
            assert list(upgrader.security_multistream.transports) == ["/noise"]
            assert list(upgrader.muxer_multistream.transports) == ["/yamux/1.0.0"]

    run(scene)


def test_connections_that_come_and_go_leave_no_tasks_behind(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            before = trio.lowlevel.current_statistics().tasks_living
            for _ in range(10):
                async with our_host(listen=()) as other:
                    await other.dial(ours.addresses()[0])
                    await until(lambda: bool(ours.connected()))
                await until(lambda: not ours.connected())
            await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before + 1)

    run(scene)


def test_a_peer_key_seed_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        HostConfig(b"short", (), "test")


def test_ipv6_works_and_is_counted(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host(listen=("/ip6/::1/tcp/0",)) as a, our_host() as b:
            await b.dial(a.addresses()[0])
            await trio.sleep(0.05)
            assert a.connected()[0].address.startswith("/ip6/::1/tcp/")

    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    run(scene)


def test_a_wildcard_is_spelled_out(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host(listen=("/ip4/0.0.0.0/tcp/0",)) as ours:
            assert ours.addresses()
            assert not any("0.0.0.0" in address or "/tcp/0/" in address for address in ours.addresses())

    run(scene)


def test_streams_need_a_connection_and_a_protocol(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as a, our_host() as b:
            with pytest.raises(NotConnected):
                await b.open_stream(a.peer_id, "/echo")
            await b.dial(a.addresses()[0])
            with pytest.raises(StreamRefused):
                await b.open_stream(a.peer_id, "/unknown")

    run(scene)


async def read_all(stream: Stream) -> bytes:
    data = b""
    while piece := await stream.read():
        data += piece
    return data


def test_a_stream_reset_while_nobody_reads_is_broken_not_ended(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async def reset(stream: Stream) -> None:
            await stream.write(b"half of it")
            await stream.reset()

        async with our_host() as a, our_host() as b:
            a.handle("/reset", reset)
            await b.dial(a.addresses()[0])
            stream = await b.open_stream(a.peer_id, "/reset")
            await trio.sleep(0.1)
            with pytest.raises(StreamBroken):
                await read_all(stream)

    run(scene)


def test_200_streams_in_a_row_leave_none_behind(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async def answer(stream: Stream) -> None:
            await stream.read()
            await stream.write(b"yes")

        async with our_host() as a, our_host() as b:
            a.handle("/ask", answer)
            await b.dial(a.addresses()[0])
            await trio.sleep(0.3)
            muxed = a._swarm.get_connections()[0].muxed_conn
            before = len(muxed.streams)
            for _ in range(200):
                async with await b.open_stream(a.peer_id, "/ask") as stream:
                    await stream.write(b"?")
                    assert await stream.read() == b"yes"
            await trio.sleep(0.1)
            assert len(muxed.streams) <= before

    run(scene)


def test_gossip_reaches_every_member_once(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        got: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}

        async with our_host(topics=TOPICS) as a, our_host(topics=TOPICS) as b, our_host(topics=TOPICS) as c:
            # A line a – b – c: what a says reaches c through b.
            await a.dial(b.addresses()[0])
            await c.dial(b.addresses()[0])
            for name, host in (("a", a), ("b", b), ("c", c)):
                await host.join(
                    TOPIC, lambda data, peer: Verdict.ACCEPT, lambda data, peer, name=name: got[name].append(data)
                )
            await until(lambda: len(b.topic_peers(TOPIC)) == 2 and bool(a.topic_peers(TOPIC)))
            sent = [b"%d" % number for number in range(300)]
            for data in sent:
                await a.publish(TOPIC, data)
                await trio.sleep(0.001)
            await until(lambda: len(got["c"]) == 300, 10)
            assert sorted(got["b"]) == sorted(got["c"]) == sorted(sent)
            # Our own words are not news to us.
            assert got["a"] == []

    run(scene)


def test_a_verdict_decides_who_is_blamed_and_what_is_forwarded(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        delivered: list[bytes] = []
        onwards: list[bytes] = []

        def judge(data: bytes, peer: str) -> Verdict:
            return Verdict[data.decode()]

        async with our_host(topics=TOPICS) as a, our_host(topics=TOPICS) as b, our_host(topics=TOPICS) as c:
            await a.dial(b.addresses()[0])
            await c.dial(b.addresses()[0])
            await a.join(TOPIC, judge, lambda data, peer: None)
            await b.join(TOPIC, judge, lambda data, peer: delivered.append(data))
            await c.join(TOPIC, judge, lambda data, peer: onwards.append(data))
            await until(lambda: len(b.topic_peers(TOPIC)) == 2 and bool(a.topic_peers(TOPIC)))
            for _ in range(5):
                await a.publish(TOPIC, b"IGNORE")
            await a.publish(TOPIC, b"ACCEPT")
            await until(lambda: onwards == [b"ACCEPT"])
            assert delivered == [b"ACCEPT"]
            assert not b.is_banned(a.peer_id)
            await a.publish(TOPIC, b"REJECT")
            while len(delivered) == 1:
                # The first write after a reset is how a notices it, so not every message arrives.
                await trio.sleep(0.1)
                await a.publish(TOPIC, b"ACCEPT")
            await until(lambda: len(onwards) == len(delivered))
            for _ in range(30):
                await a.publish(TOPIC, b"REJECT")
                await trio.sleep(0.1)
            await until(lambda: b.is_banned(a.peer_id))
            assert not c.is_banned(b.peer_id)
            assert set(delivered) == {b"ACCEPT"}

    run(scene)


def test_64_kib_travel_and_more_is_refused(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        got: list[int] = []
        async with our_host(topics=TOPICS) as a, our_host(topics=TOPICS) as b:
            await a.dial(b.addresses()[0])
            for host in (a, b):
                await host.join(TOPIC, lambda data, peer: Verdict.ACCEPT, lambda data, peer: got.append(len(data)))
            await until(lambda: bool(a.topic_peers(TOPIC)))
            await a.publish(TOPIC, os.urandom(65_536))
            await until(lambda: got == [65_536])
            with pytest.raises(ValueError, match="at most"):
                await a.publish(TOPIC, bytes(65_537))

    run(scene)


def test_a_peer_announcing_10000_topics_is_heard_on_ours_only(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host(topics=TOPICS) as a, our_host() as b:
            await b.dial(a.addresses()[0])
            await until(lambda: bool(b._pubsub.peers))
            stream = await b._libp2p.new_stream(ID.from_string(a.peer_id), [PROTOCOL_ID_V11])
            for first in range(0, 10_000, 32):
                junk = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"/junk/{first + n}") for n in range(32)]
                await stream.write(encode_varint_prefixed(rpc_pb2.RPC(subscriptions=junk).SerializeToString()))
            await b.join(TOPIC, lambda data, peer: Verdict.ACCEPT, lambda data, peer: None)
            await until(lambda: a.topic_peers(TOPIC) == (b.peer_id,))
            assert len(a._pubsub.peer_topics) <= 16

    run(scene)


def test_200_idle_sockets_from_one_address_do_not_keep_others_out(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host(exempt_loopback=False) as ours:
            port = int(ours.addresses()[0].split("/")[4])
            idle = []
            try:
                for _ in range(200):
                    sock = trio.socket.socket()
                    await sock.bind(("127.0.0.2", 0))
                    await sock.connect(("127.0.0.1", port))
                    idle.append(sock)
                await trio.sleep(0.1)
                assert ours._swarm._doorman.pending_count == doorman.MAX_PENDING_PER_ADDRESS
                slowest = 0.0
                for _ in range(visits.PER_ADDRESS):
                    async with our_host(listen=()) as honest:
                        started = trio.current_time()
                        await honest.dial(ours.addresses()[0])
                        slowest = max(slowest, trio.current_time() - started)
                    await until(lambda: not ours.connected())
                assert slowest < 3, f"slowest honest dial {slowest:.2f} s"
            finally:
                for sock in idle:
                    sock.close()

    run(scene)


def test_a_socket_that_says_nothing_is_closed_after_the_handshake_limit(run: Any, our_host: Any) -> None:
    async def scene() -> None:
        async with our_host() as ours:
            ours._swarm.connection_config.inbound_upgrade_timeout = 0.2
            port = int(ours.addresses()[0].split("/")[4])
            async with await trio.open_tcp_stream("127.0.0.1", port) as silent:
                with trio.fail_after(2):
                    while await silent.receive_some():
                        pass
            assert ours._swarm._doorman.pending_count == 0

    run(scene)


def test_a_peer_that_stops_reading_its_socket_is_cut(
    run: Any, our_host: Any, stock_host: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window is wide open, so only the socket holds us up."""
    monkeypatch.setattr(muxer, "WRITE_TIMEOUT_S", 0.5)

    async def scene() -> None:
        async def pour(stream: Stream) -> None:
            while True:
                await stream.write(b"\x00" * 256 * 1024)

        async with our_host() as ours, stock_host() as stranger:
            ours.handle("/pour", pour)
            muxed = await stranger.connect(ours.addresses()[0])
            stream = await stranger.stream(ours.peer_id, "/pour")
            await stream.muxed_stream.send_window_update(1 << 30)
            await trio.sleep(0.05)
            # The stranger's frame loop goes to sleep.
            muxed._read_data_body = sleep_instead
            await until(lambda: not ours.connected(), 10)

    async def sleep_instead(length: int) -> bytes:
        await trio.sleep_forever()
        return b""

    run(scene)


def test_stopping_with_many_neighbours_takes_a_moment_only(run: Any, our_host: Any, until: Any) -> None:
    async def scene() -> None:
        async with our_host() as hub, trio.open_nursery() as nursery:
            leave = trio.Event()

            async def neighbour() -> None:
                async with our_host(listen=()) as other:
                    await other.dial(hub.addresses()[0])
                    await leave.wait()

            for _ in range(12):
                nursery.start_soon(neighbour)
            await until(lambda: len(hub.connected()) == 12)
            started = trio.current_time()
            await hub._swarm.say_goodbye()
            assert trio.current_time() - started < 1
            leave.set()

    run(scene)
