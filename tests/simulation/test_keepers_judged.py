"""The real machines on virtual wires, and the verdicts of who gets an account from one keeper alone."""

from collections.abc import Callable
from typing import Any

import pytest

from unhush.gossip.proto.contradictions import NoContradiction, find_contradiction
from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.verdicts import Bodiless, HeldLog, Known, Lack, Origin, Refusal, Told, Verdict, Word, judge
from unhush.identity.entry import UnverifiedEntry
from unhush.identity.operations import OPEN
from unhush.identity.statement import Absent, Head, Heads, Receipt
from unhush.testing import SimNode, VirtualNetwork
from unhush.testing.byzantine import Manners
from unhush.testing.keepers import Drops, Stalls, WithholdsSaying

COURT = "a court said so"
DROPPED, WITHHELD = 13, 5


def judged(reader: SimNode, author: SimNode) -> Verdict:
    """By what the reader holds and heard, and by nothing else; whoever keeps the account was asked to."""
    key, of = author.person.key.public, author.account
    shown: Any = reader.store._shown(of, key)  # type: ignore[attr-defined]  # in memory
    entries: dict[int, UnverifiedEntry] = {seq: held.entry for seq, held in shown.items()}
    shelf = reader.statements
    told = [
        Told(head, Origin.AUTHOR, "author", each.time)
        for each in shelf.heads_told(of)
        if isinstance(each.claim, Heads)
        for head in each.claim.heads
    ]
    receipts = [each for each in shelf.receipts_of(of) if isinstance(each.claim, Receipt)]
    refusals = [
        Refusal(each.account, each.key, entry, reason, each.time, True)
        for each in receipts
        if isinstance(each.claim, Receipt)
        for entry, reason in each.claim.withheld
    ]
    lies = []
    for absent in shelf.absents_of(of):
        assert isinstance(absent.claim, Absent)
        refusals.append(Refusal(absent.account, absent.key, absent.claim.entry, absent.claim.reason, absent.time, True))
        at = next((seq for seq, entry in entries.items() if entry.cid == absent.claim.entry), None)
        for receipt in receipts if at is not None else ():
            assert isinstance(receipt.claim, Receipt)
            head = next((head.seq for head in receipt.claim.heads if head.key == key), -1)
            chain = [entries[seq] for seq in range(head, at, -1) if seq in entries] if at is not None else []
            try:
                lies.append(
                    find_contradiction(receipt, absent, chain, cut_of=lambda _: OPEN, network=reader.network.name)
                )
            except NoContradiction:
                continue
    tip = max(entries, default=None)
    log = HeldLog(
        key,
        OPEN,
        Ranges.of((seq, seq) for seq in sorted(entries)),
        Head(key, tip, entries[tip].cid) if tip is not None else None,
        bodiless=tuple(
            Bodiless(seq, entry.cid, Lack.UNKNOWN) for seq, entry in sorted(entries.items()) if shown[seq].body is None
        ),
    )
    return judge(Known(of, (log,), tuple(told), tuple(refusals), tuple(lies)), reader.wall_ms)


KEEPERS: dict[Word, Callable[[int], Manners | None]] = {
    Word.COMPLETE: lambda _: None,
    Word.GAP: lambda seed: Drops(seed, seqs={DROPPED}),
    Word.BEHIND: Stalls,
    Word.WITHHELD: lambda seed: WithholdsSaying(seed, seqs={WITHHELD}, reason=COURT),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("word", KEEPERS, ids=lambda word: word.value)
def test_who_gets_an_account_from_one_keeper_alone_sees_what_it_is(word: Word, seed: int) -> None:
    network = VirtualNetwork(seed, has_statements=True, has_gossip=False)
    # Or the two would find each other by their cards, and all would be well.
    author, reader = network.node("author", is_dialable=False), network.node("reader", is_dialable=False)
    keeper = network.node("keeper", manners=KEEPERS[word](seed))
    for number in range(20):
        author.post(f"post {number}")
    keeper.keep(author)
    reader.follow(author)
    network.connect(author, keeper)
    network.connect(reader, keeper)
    network.run(150)
    for seq in (DROPPED, WITHHELD, 19):
        for node in (author, reader):  # only who has a body can ask for it
            node.challenge(keeper, author, seq=seq)
        network.run(20)
    found = judged(reader, author)
    assert found.word is word
    accused = {each.keeper for node in (author, reader) for each in judged(node, author).accused}
    assert accused == ({keeper.account} if word is Word.GAP else set())
    assert found.by == (((keeper.account, COURT),) if word is Word.WITHHELD else ())
