"""Records of clocks ahead of ours: beyond what a session remembers of them it is said what was forgotten."""

from types import SimpleNamespace

import trio

from unhush.gossip.net.sync.session import Reports, SyncSession
from unhush.gossip.proto.config import SessionConfig
from unhush.gossip.proto.early import MAX_ACCOUNTS
from unhush.gossip.proto.tally import Met, Tally
from unhush.identity.cid import cid_of
from unhush.storage.arrivals import TOO_EARLY


def nothing(*_: object) -> None:
    pass


def test_accounts_that_spoke_too_early_and_are_forgotten_are_counted() -> None:
    tally = Tally()
    items = [SimpleNamespace(account=cid_of(f"{number}".encode())) for number in range(MAX_ACCOUNTS + 7)]
    outcomes = [SimpleNamespace(error=TOO_EARLY)] * len(items)

    async def take() -> None:
        session = SyncSession(
            SimpleNamespace(peer_id="peer"),  # type: ignore[arg-type]  # nothing is read of it
            None,  # type: ignore[arg-type]  # nor stored
            lambda *_, **__: True,
            config=SessionConfig("test", "test"),
            reports=Reports(nothing, nothing, nothing, nothing, nothing, nothing, met=tally.count),
        )
        session._stored(SimpleNamespace(items=items), (), outcomes)  # type: ignore[arg-type]  # as ingest says it

    trio.run(take)
    assert tally.read()[Met.EARLY_FORGOTTEN] == 7
