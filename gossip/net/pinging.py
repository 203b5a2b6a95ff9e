"""Ping: how long a peer takes to send thirty-two bytes back, by the protocol every libp2p node answers.

Who is named by its id answers over the connection there is. An address is dialled anew, by a host made for it: an open
connection with the same peer says nothing of whether anybody answers there.
"""

import os
from typing import Final

import trio

from unhush.gossip.errors import GossipError, NotConnected, PeerSilent, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host, HostConfig, open_host
from unhush.gossip.proto.addresses import parse_address

PING: Final = "/ipfs/ping/1.0.0"
PING_BYTES: Final = 32

# A peer on the other side of the world, over a bad line, on a busy machine.
USUAL_WAIT_S: Final = 4.0


async def ping(host: Host, peer_id: str) -> float:
    """The seconds a connected peer takes to answer.

    Raises ``NotConnected`` and ``PeerSilent``, and does not return before either side does something: bound it.
    """
    sent = os.urandom(PING_BYTES)
    try:
        stream = await host.open_stream(peer_id, PING)
        try:
            sent_at = trio.current_time()
            await stream.write(sent)
            back = b""
            while len(back) < PING_BYTES and (part := await stream.read()):
                back += part
            took_s = trio.current_time() - sent_at
        finally:
            await stream.reset()
    except (StreamRefused, StreamBroken) as exc:
        raise PeerSilent(peer_id, str(exc)) from exc
    if back != sent:
        raise PeerSilent(peer_id, "what came back is not what was sent")
    return took_s


async def ping_connected(host: Host, peer_id: str, timeout_s: float = USUAL_WAIT_S) -> float:
    """Ping over the connection there is; raises ``NotConnected``, ``PeerSilent``."""
    if host.find_peer(peer_id) is None:
        raise NotConnected(peer_id)
    try:
        with trio.fail_after(timeout_s):
            return await ping(host, peer_id)
    except trio.TooSlowError as exc:
        raise PeerSilent(peer_id, f"no answer within {timeout_s:g} s") from exc


def ping_address(address: str, agent: str, timeout_s: float = USUAL_WAIT_S) -> float:
    """Dial an address under a key made for it, and ping; from any thread. Raises ``GossipError``."""
    peer_id = parse_address(address).peer_id

    async def once() -> float:
        async with open_host(HostConfig(os.urandom(32), (), agent)) as host:
            try:
                with trio.fail_after(timeout_s):
                    await host.dial(address)
                    return await ping(host, peer_id)
            except trio.TooSlowError as exc:
                raise PeerSilent(peer_id, f"no answer within {timeout_s:g} s") from exc

    try:
        return trio.run(once)
    except BaseExceptionGroup as group:
        ours = group.subgroup(GossipError)
        if ours is None:
            raise
        raise _first(ours) from group


def _first(group: BaseExceptionGroup[GossipError]) -> GossipError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
