"""Contradictions: two statements of one keeper that cannot both be true, and the only thing that names anybody.

A receipt says: I hold every entry up to these heads. An absent says: I do not
give this entry, and this is the newest receipt I gave. The two contradict each
other if the absent names the receipt and the receipt covers the entry, which
the links from the head it names down to the entry show to anybody.

No honest keeper signs such a pair, whatever happens to its disk: before it says
that it lacks what its newest receipt covers, it signs another receipt. So no
clock has to be right, and nothing that is left out of the evidence (a later
receipt, a delete, a revoke) can make an honest keeper look like a liar
(decision 41). Times, deletes and cuts are looked at all the same: they can only acquit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from unhush.gossip.errors import GossipError
from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, is_signed
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Cut
from unhush.identity.statement import Absent, Head, Receipt, Statement

# Entries from the head of a receipt down to what is missing: 10 MB of evidence, checked in a second.
# Of a longer log only what is missing among the newest so many can name somebody.
MAX_CHAIN: Final = 32_768

# What a keeper says that an author took back cannot be shown to be there still: nobody can show that no delete exists.
DELETED: Final = "deleted"


class NoContradiction(GossipError):
    """Two statements that go together, or of which it is not shown that they do not."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A keeper's two statements, and the entries that lead from a head of the receipt down to what it does not give.

    The entry itself is not among them: those who miss it can show this too.
    """

    receipt: Statement
    absent: Statement
    chain: tuple[UnverifiedEntry, ...]
    log: PublicKey
    seq: int  # of what is not given

    @property
    def keeper(self) -> Cid:
        return self.receipt.account

    @property
    def key(self) -> PublicKey:
        """The device that signed both."""
        return self.receipt.key

    @property
    def entry(self) -> Cid:
        """What is not given."""
        assert isinstance(self.absent.claim, Absent)
        return self.absent.claim.entry


def is_named(receipt: Statement, absent: Statement) -> bool:
    """Whether an absent stands under a receipt: of the same device, about the same account, and it says so itself."""
    return (
        isinstance(receipt.claim, Receipt)
        and isinstance(absent.claim, Absent)
        and (receipt.account, receipt.key, receipt.claim.of) == (absent.account, absent.key, absent.claim.of)
        and absent.claim.receipt == receipt.digest
    )


def find_contradiction(
    receipt: Statement,
    absent: Statement,
    chain: Sequence[UnverifiedEntry],
    *,
    cut_of: Callable[[PublicKey], Cut | None],
    network: str,
) -> Contradiction:
    """Check it all but whether the device may speak for the keeper; raises ``NoContradiction``.

    ``chain``: newest first, from a head of the receipt to the entry that names the absent one by ``prev``; empty if
    that is a head. ``cut_of``: of the devices of the account, by the newest operations known.
    """
    _check_pair(receipt, absent)
    head = _check_chain(receipt, absent, chain, network)
    seq = head.seq - len(chain)
    _check_in_force(absent, chain, seq, cut_of(head.key))
    return Contradiction(receipt, absent, tuple(chain), head.key, seq)


def _check_pair(receipt: Statement, absent: Statement) -> None:
    if not is_named(receipt, absent):
        raise NoContradiction("the absent does not name this receipt")
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    if not receipt.time <= absent.time <= receipt.expires:
        raise NoContradiction("the absent was not given within the term of the receipt")
    if any(entry == absent.claim.entry for entry, _ in receipt.claim.withheld):
        raise NoContradiction("the receipt lists the entry as withheld")
    if absent.claim.reason == DELETED:
        raise NoContradiction("the absent says that the author took it back, and nobody can show that he did not")


def _check_chain(receipt: Statement, absent: Statement, chain: Sequence[UnverifiedEntry], network: str) -> Head:
    """The head of the receipt from which the chain leads to the entry."""
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    if len(chain) > MAX_CHAIN:
        raise NoContradiction(f"a chain has at most {MAX_CHAIN:,} entries, this one {len(chain):,}")
    start = chain[0].cid if chain else absent.claim.entry
    head = next((head for head in receipt.claim.heads if head.entry == start), None)
    if head is None:
        raise NoContradiction("the chain does not begin at a head of the receipt")
    if not chain:
        return head
    first = chain[0]
    if (first.account, first.header.key, first.header.seq) != (receipt.claim.of, head.key, head.seq):
        raise NoContradiction("the head of the receipt is no record of this log")
    # A keeper may name what it likes as a head. What its author did not sign is worth nothing to anybody.
    if first.header.is_identity or not is_signed(first.block, first.header.key, network):
        raise NoContradiction("the head of the receipt bears no signature of its own")
    for above, entry in pairwise(chain):
        if not _leads_to(above, entry):
            raise NoContradiction(f"a link is missing in the chain below entry {above.header.seq}")
    if chain[-1].header.prev != absent.claim.entry:
        raise NoContradiction("the chain does not lead to the entry that is not given")
    return head


def _leads_to(above: UnverifiedEntry, entry: UnverifiedEntry) -> bool:
    return (
        above.header.prev == entry.cid
        and (above.account, above.header.key) == (entry.account, entry.header.key)
        and above.header.seq - 1 == entry.header.seq
    )


def _check_in_force(absent: Statement, chain: Sequence[UnverifiedEntry], seq: int, cut: Cut | None) -> None:
    """What is void need not be held. Under a cut, what is in force is shown by a chain that passes through it."""
    if cut == OPEN:
        return
    if cut is None or cut[0] < seq:
        raise NoContradiction("the account has made the entry void")
    assert isinstance(absent.claim, Absent)
    passed = {(entry.header.seq, entry.cid.bytes) for entry in chain} | {(seq, absent.claim.entry.bytes)}
    if cut not in passed:
        raise NoContradiction("the log ends at a cut, and the chain does not show that the entry lies below it")
