"""The drill for real: a throw-away home asks the network for an account, as somebody would who never heard of it.

It has no account and no name, a peer key of its own, and knows only where one machine is (or bootstrap peers, or the
DHT). What was named as lost is let go of as soon as it is met. The home is gone at the end, however that comes.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from unhush.gossip.proto.situation import parse_losses
from unhush.identity.cid import Cid
from unhush.identity.statement import MediaPolicy
from unhush.node.config import Config, bootstrap_of
from unhush.node.drill.forecast import Drilled, is_far
from unhush.node.errors import NobodyAnswered
from unhush.node.node import Node
from unhush.node.service.running import Running, why_unreachable
from unhush.storage.keeping.promises import Promise
from unhush.storage.verify import Report

# A stranger who has nothing after this has found nobody.
PATIENCE_S: Final = 120.0
BUDGET_BYTES: Final = 16 * 1024**3
_LOOK_EVERY_S: Final = 0.05
# All that this home holds is there, and nothing more came for so long.
_SETTLED_S: Final = 1.0
# Whoever waits hears so often that nothing else came of it yet.
_SAY_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LiveDrill:
    """What came of it; times in seconds since the stranger began, None for what did not come."""

    asked: str  # whom it was told of
    connected_s: float | None
    found_s: float | None  # somebody said that they carry the account
    first_s: float | None  # the first post of it
    complete_s: float | None  # all that this home holds of it, and whole
    records: int  # that came
    expected: int  # that this home holds
    verified: int  # entries whose hash, signature and chain were checked anew at the end, also of people around it
    is_clean: bool  # nothing is wrong with any of them, and no log is forked; what did not come is no fault of theirs
    from_lost: int  # records that a machine gave which is to be lost, before it was let go


def drill_live(
    node: Node,
    drilled: Drilled,
    lose: str,
    *,
    peer: str | None = None,
    patience_s: float = PATIENCE_S,
    on_progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> LiveDrill:
    """Ask as a stranger; ``peer`` is the one address they are told, else that of a machine that is left.

    ``on_progress`` hears what is done and how many records are here. Raises ``NobodyAnswered`` if there is nobody to
    ask at all, or the only address there is refuses.
    """
    losses = parse_losses(lose)
    lost = frozenset(drilled.report.lost)
    address = peer or _choose_address(drilled)
    bootstrap = () if losses.bootstrap else bootstrap_of(node.config)
    if not address and not bootstrap:
        raise NobodyAnswered("there is no address of a carrier that would be left: name one with --peer")
    if address:
        on_progress(f"calling {address}", 0)
        if not bootstrap and not node.config.dht and (why := why_unreachable(address)):
            raise NobodyAnswered(why)
    with node._store.snapshot() as snapshot:
        expected = snapshot.usage(drilled.account).records
    with tempfile.TemporaryDirectory(prefix="unhush-drill-") as folder:
        config = Config(
            Path(folder) / "home",
            network=node.config.network,
            listen=("/ip4/0.0.0.0/tcp/0",) if not address or is_far(address) else ("/ip4/127.0.0.1/tcp/0",),
            peers=(address,) if address else (),
            bootstrap=bootstrap,
            lan=False,
            dht=node.config.dht,
            is_guest=True,  # what is gone in a minute is no carrier for a day, and nobody's address to remember
            exempt_loopback=node.config.exempt_loopback,
        )
        with Node.open(config) as stranger:
            came = _ask(stranger, drilled.account, expected, lost, patience_s=patience_s, on_progress=on_progress)
            on_progress("checking", came.records)
            report = stranger.verify(deep=True)
            return replace(
                came,
                asked=address or "bootstrap peers",
                verified=report.entries,
                is_clean=is_sound(report),
            )


def is_sound(report: Report) -> bool:
    """Whether what came is as it was signed. A guest's log has a gap wherever the guest wrote elsewhere: no fault."""
    return not (report.is_damaged or report.forks)


def _choose_address(drilled: Drilled) -> str:
    """One machine that is left and was reached, as somebody would be told of a follower."""
    left = [
        machine.name
        for machine in drilled.situation.machines
        if machine.is_carrier and machine.is_dialable and machine.name not in drilled.report.lost
    ]
    home = drilled.situation.home
    ranked = [drilled.report.entry, *(name for name in left if name != home), *(name for name in left if name == home)]
    return next((drilled.addresses[name] for name in ranked if name in drilled.addresses), "")


def _ask(
    stranger: Node,
    account: Cid,
    expected: int,
    lost: frozenset[str],
    *,
    patience_s: float,
    on_progress: Callable[[str, int], None],
) -> LiveDrill:
    stranger._store.promises.keep(account, Promise(BUDGET_BYTES, MediaPolicy.NONE, stranger.config.clock_ms()))
    began = time.monotonic()
    running = stranger._running = stranger._start()
    connected_s = found_s = first_s = complete_s = None
    settled_at: float | None = None
    said_at = began
    records = from_lost = 0
    while (passed_s := time.monotonic() - began) < patience_s:
        view = running.view()
        from_lost = max(from_lost, _let_go(running, ((each.peer or "", each.gave) for each in view.peers), lost))
        here = [each for each in view.peers if each.peer not in lost]
        if here and connected_s is None:
            connected_s = passed_s
        if any(each.covers for each in here) and found_s is None:
            found_s = passed_s
        now, is_whole = _look(stranger, account)
        if now != records:
            records, settled_at, said_at = now, None, time.monotonic()
            on_progress("fetching", records)
        if time.monotonic() - said_at > _SAY_EVERY_S:
            said_at = time.monotonic()
            on_progress("waiting for more" if here else "nobody answers yet", records)
        if first_s is None and stranger.person_posts(account, 1).items:
            first_s = passed_s
        if records >= expected and is_whole:
            complete_s = complete_s if settled_at is not None else passed_s
            settled_at = settled_at or time.monotonic()
            if time.monotonic() - settled_at > _SETTLED_S:
                break
        time.sleep(_LOOK_EVERY_S)
    return LiveDrill(
        "", connected_s, found_s, first_s, complete_s, records, expected, 0, is_clean=False, from_lost=from_lost
    )


def _let_go(running: Running, gave: Iterable[tuple[str, int]], lost: frozenset[str]) -> int:
    """End every connection with what is lost; how many records they gave before."""
    total = 0
    for peer, records in gave:
        if peer in lost:
            running.forget_peer(peer)
            total += records
    return total


def _look(stranger: Node, account: Cid) -> tuple[int, bool]:
    with stranger._store.snapshot() as snapshot:
        known = snapshot.account(account)
        return snapshot.usage(account).records, known is not None and snapshot.is_whole(known)
