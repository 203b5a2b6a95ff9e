"""Keepers that lie, each in one way. All of them promise to keep, and sign receipts as if they did.

network = VirtualNetwork(seed=7, has_statements=True)
keeper = network.node("keeper", manners=Drops(1, seqs={13}))
keeper.keep(author)
"""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from unhush.gossip.proto.events import ReadAnswer, RunRead
from unhush.gossip.proto.frames import Item, Reason
from unhush.gossip.proto.position import find_seqs
from unhush.identity.statement import NOT_HERE, Receipt, Withheld
from unhush.testing.byzantine import Manners, Silent
from unhush.testing.ledger import find_entry

if TYPE_CHECKING:
    from unhush.gossip.proto.statements import Prove, ToldStatement
    from unhush.testing.end import SessionEnd
    from unhush.testing.statements import Keeping


class _Without(Manners):
    """Gives some entries of every log of others without their bodies."""

    def __init__(self, seed: int, *, seqs: Collection[int]) -> None:
        super().__init__(seed)
        self._seqs = frozenset(seqs)
        self._reason = Reason.UNKNOWN

    def answers(self, session: "SessionEnd", answer: ReadAnswer) -> ReadAnswer:
        if not isinstance(answer, RunRead) or answer.account == session.node.account:
            return answer
        return replace(answer, items=self.spoil(answer))

    def spoil(self, run: RunRead) -> tuple[Item, ...]:
        seqs = find_seqs(run.key, (item.entry for item in run.items)) or []
        return tuple(
            Item(item.entry, None, self._reason) if seq in self._seqs else item
            for seq, item in zip(seqs, run.items, strict=True)
        )

    def is_without(self, block: bytes) -> bool:
        entry = find_entry(block)
        return entry is not None and entry.header.seq in self._seqs


class Drops(_Without):
    """Has dropped the bodies of these entries, and signs receipts that cover them all the same.

    Asked to show one it says that it is not here: two statements of its own that cannot both be true.
    """

    def shows(
        self, keeping: "Keeping", question: "Prove", honest: "list[ToldStatement]"
    ) -> "list[ToldStatement] | None":
        item = keeping.find_item(question.of, question.entry)
        if item is None or not self.is_without(item.entry):
            return honest
        return [keeping.refuse(question, NOT_HERE)]


class WithholdsSaying(_Without):
    """Withholds the bodies of these entries, says so in its receipts and to whoever asks; that is no lie at all."""

    def __init__(self, seed: int, *, seqs: Collection[int], reason: str) -> None:
        super().__init__(seed, seqs=seqs)
        self._why = reason
        self._reason = Reason.WITHHELD

    def lists(self, keeping: "Keeping", receipt: Receipt) -> Receipt:
        withheld = []
        for head in receipt.heads:
            for seq in sorted(self._seqs):
                entry = keeping.entry_at(receipt.of, head.key, seq)
                if seq <= head.seq and entry is not None:
                    withheld.append(Withheld(entry, self._why))
        return replace(receipt, withheld=tuple(withheld))

    def shows(
        self, keeping: "Keeping", question: "Prove", honest: "list[ToldStatement]"
    ) -> "list[ToldStatement] | None":
        item = keeping.find_item(question.of, question.entry)
        if item is None or not self.is_without(item.entry):
            return honest
        return [keeping.renew(question.of), keeping.refuse(question, self._why)]


class Stalls(Silent):
    """Signs receipts, gives nobody a record, and never answers a challenge."""

    def shows(
        self, keeping: "Keeping", question: "Prove", honest: "list[ToldStatement]"
    ) -> "list[ToldStatement] | None":
        return None
