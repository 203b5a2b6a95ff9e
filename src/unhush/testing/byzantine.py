"""Nodes that misbehave: the real machines behind a hand that changes what leaves, or what is said instead.

``Manners`` keeps to the rules; each other class breaks one of them.
"""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from unhush.gossip.proto import limits
from unhush.gossip.proto.events import BranchesRead, ReadAnswer, RunRead
from unhush.gossip.proto.faults import SyncFault
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import (
    Carries,
    CaughtUp,
    Concerning,
    Credit,
    Entries,
    Given,
    Item,
    RangesFrame,
    RunsFrame,
    Want,
    WantedAccount,
)
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.position import find_seqs
from unhush.identity.cid import Cid, cid_of

if TYPE_CHECKING:
    from unhush.gossip.proto.statements import Prove, ToldStatement
    from unhush.identity.statement import Receipt
    from unhush.testing.end import SessionEnd
    from unhush.testing.node import SimNode
    from unhush.testing.statements import Keeping


class Manners:
    """What a node does at each turn; as it stands here, what it should."""

    def __init__(self, seed: int) -> None:
        self.dice: Final = Random(seed)  # noqa: S311  # no secrets here

    def opens(self) -> bool:
        """Whether it opens streams where that is its part."""
        return True

    def carries(self, node: "SimNode", carried: frozenset[Cid]) -> frozenset[Cid]:
        """The accounts it claims to carry."""
        return carried

    def began(self, session: "SessionEnd") -> None:
        """A session began; its machine has said hello."""

    def ticked(self, node: "SimNode") -> None:
        """About a second passed."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        """The bytes that go out where the machine sends this frame."""
        return (frame(payload),)

    def hears(self, session: "SessionEnd", payload: bytes) -> bool:
        """Whether the machine is told of this frame."""
        return True

    def answers(self, session: "SessionEnd", answer: ReadAnswer) -> ReadAnswer:
        """What the machine is told its store holds."""
        return answer

    def hands_on(self) -> bool:
        """Whether it passes hints on."""
        return True

    def lists(self, keeping: "Keeping", receipt: "Receipt") -> "Receipt":
        """What it signs where an honest keeper would sign this."""
        return receipt

    def shows(
        self, keeping: "Keeping", question: "Prove", honest: "list[ToldStatement]"
    ) -> "list[ToldStatement] | None":
        """What it answers to a challenge; None for never."""
        return honest


def _everything(node: "SimNode") -> frozenset[Cid]:
    return frozenset(other.account for other in node.network.nodes.values())


class Silent(Manners):
    """Accepts, says that it carries everything, and never sends a record nor that there is none."""

    def carries(self, node: "SimNode", carried: frozenset[Cid]) -> frozenset[Cid]:
        return _everything(node)

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        if isinstance(parse_frame(payload), Entries | RunsFrame | Given | CaughtUp):
            return (b"",)
        return (frame(payload),)

    def hands_on(self) -> bool:
        return False


class LiesCaughtUp(Silent):
    """Says that it carries everything and that all of it was sent, and sends nothing; at times it says so of more than
    was asked."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        said = parse_frame(payload)
        if isinstance(said, Entries | RunsFrame | Given):
            return (b"",)
        if isinstance(said, CaughtUp) and self.dice.random() < 0.1:
            return (frame(encode_frame(CaughtUp(said.wants + 1_000))),)
        return (frame(payload),)


class Withholds(Manners):
    """Keeps every third record to itself."""

    def answers(self, session: "SessionEnd", answer: ReadAnswer) -> ReadAnswer:
        if not isinstance(answer, RunRead):
            return answer
        seqs = find_seqs(answer.key, (item.entry for item in answer.items)) or []
        kept = tuple(item for seq, item in zip(seqs, answer.items, strict=True) if seq % 3 != 1)
        return replace(answer, items=kept)


class Forges(Manners):
    """Sends records with bad signatures, bodies of others, and one account's records as another's."""

    def carries(self, node: "SimNode", carried: frozenset[Cid]) -> frozenset[Cid]:
        return _everything(node)

    def answers(self, session: "SessionEnd", answer: ReadAnswer) -> ReadAnswer:
        if isinstance(answer, RunRead | BranchesRead) and answer.items and self.dice.random() < 0.3:
            return replace(answer, items=tuple(map(self._spoil, answer.items)))
        return answer

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        said = parse_frame(payload)
        if isinstance(said, Entries) and self.dice.random() < 0.1:
            others = sorted(_everything(session.node))
            said = replace(said, account=self.dice.choice(others))
            return (frame(encode_frame(said)),)
        return (frame(payload),)

    def _spoil(self, item: Item) -> Item:
        if self.dice.random() < 0.5 and item.body is not None:
            return replace(item, body=item.body[:-1] + bytes((item.body[-1] ^ 1,)))
        return replace(item, entry=item.entry[:-1] + bytes((item.entry[-1] ^ 1,)))


class Babbles(Manners):
    """Now and then sends what is no frame, or no frame of this protocol."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        match self.dice.randrange(40):
            case 0:
                return (self.dice.randbytes(64),)
            case 1:
                return (frame(self.dice.randbytes(32)),)
            case 2:
                return (frame(payload[: len(payload) // 2]),)
            case 3:
                return (b"\xff\xff\xff\x7f",)
            case _:
                return (frame(payload),)


class Floods(Manners):
    """Sends far more than anybody asked for: claims, grants, records beyond credit, frames without end."""

    def ticked(self, node: "SimNode") -> None:
        if self.dice.random() > 0.05 or not node.sessions:
            return
        session = node.sessions[self.dice.choice(sorted(node.sessions))]
        match self.dice.randrange(4):
            case 0:
                self._send(session, encode_frame(Credit(limits.MAX_WINDOW_BYTES)))
                self._send(session, encode_frame(Credit(limits.MAX_WINDOW_BYTES)))
            case 1:
                made_up = tuple(cid_of(self.dice.randbytes(8)) for _ in range(limits.LINKS_PER_FRAME // 16))
                for _ in range(4):
                    self._send(session, encode_frame(Carries(add=made_up)))
            case 2:
                nothing = b"\xa1dtypefnobody"
                for _ in range(self.dice.choice((50, 1_200))):
                    self._send(session, nothing)
            case _:
                stranger = cid_of(self.dice.randbytes(8))
                item = next(iter(self._own_item(session)), None)
                if item is not None:
                    self._send(session, encode_frame(Entries(stranger, (), node.store.own.key, (item,))))

    def _own_item(self, session: "SessionEnd") -> tuple[Item, ...]:
        ops, records = session.node.store.announcement(())
        return tuple(Item(entry, body) for entry, body in records or ops)

    def _send(self, session: "SessionEnd", payload: bytes) -> None:
        session.write_raw(frame(payload))


class HangsUp(Manners):
    """Closes connections as soon as it has them, or a little later."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        if self.dice.random() < 0.15:
            wire = session.wire
            session.node.network.clock.after(self.dice.random(), wire.break_)
        return (frame(payload),)


class NeverReads(Manners):
    """Wants everything and takes nothing off the line."""

    def began(self, session: "SessionEnd") -> None:
        node, wire = session.node, session.wire
        node.network.clock.after(1.0, lambda: wire.let_read(node, is_read=False))


class SaysNothing(Manners):
    """Accepts the connection and never so much as greets."""

    def opens(self) -> bool:
        return False

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        return (b"",)


class NeverGrants(Manners):
    """Wants everything and never grants a byte of credit."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        return (b"",) if isinstance(parse_frame(payload), Credit) else (frame(payload),)


class WantsForEver(Manners):
    """Wants the same again and again; some that do take nothing of what they want, and some hear no answer."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._takes: Final = self.dice.random() < 0.5

    def hears(self, session: "SessionEnd", payload: bytes) -> bool:
        # Its own machine has not asked so often, and would take offence.
        try:
            return not isinstance(parse_frame(payload), CaughtUp)
        except SyncFault:
            return True  # from one that babbles

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        if not self._takes and isinstance(parse_frame(payload), Credit):
            return (b"",)
        return (frame(payload),)

    def ticked(self, node: "SimNode") -> None:
        if self.dice.random() > 0.3 or not node.sessions:
            return
        session = node.sessions[self.dice.choice(sorted(node.sessions))]
        other = node.network.peer_of(session.wire, node).account
        wants = (Want((WantedAccount(other),)), Want((WantedAccount(other), WantedAccount(node.account))), Want())
        for _ in range(self.dice.choice((10, 60))):
            session.write_raw(frame(encode_frame(self.dice.choice(wants))))


class NeverAnswers(Manners):
    """Answers no question it is asked, and leaves nobody in doubt that it heard it: it asks in turn."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        return (b"",) if isinstance(parse_frame(payload), Given) else (frame(payload),)

    def ticked(self, node: "SimNode") -> None:
        if self.dice.random() < 0.2:
            node.ask(Concerning(0, node.network.nodes[self.dice.choice(sorted(node.network.nodes))].account))


class SaysTheSame(Manners):
    """Whatever it compares it calls equal."""

    def sends(self, session: "SessionEnd", payload: bytes) -> Iterable[bytes]:
        said = parse_frame(payload)
        if isinstance(said, RangesFrame) and said.verdicts:
            alike = tuple((prefix, bytes(len(verdicts))) for prefix, verdicts in said.verdicts)
            return (frame(encode_frame(replace(said, verdicts=alike))),)
        return (frame(payload),)


KINDS: Final[tuple[type[Manners], ...]] = (
    Silent,
    LiesCaughtUp,
    Withholds,
    Forges,
    Babbles,
    Floods,
    HangsUp,
    NeverReads,
    SaysNothing,
    NeverGrants,
    WantsForEver,
    NeverAnswers,
    SaysTheSame,
)
