"""Contradictions: which two statements name a keeper, and the many pairs that do not."""

from dataclasses import dataclass, replace
from functools import cache

import pytest
from tests.support.people import NETWORK, Person, Written, spoil_signature

from unhush.gossip.proto import contradictions
from unhush.gossip.proto.contradictions import Contradiction, NoContradiction, find_contradiction
from unhush.gossip.proto.verdicts import Known, Refusal, judge
from unhush.identity.cid import Cid
from unhush.identity.entry import UnverifiedEntry, parse_entry
from unhush.identity.keys import SigningKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.identity.statement import Absent, Claim, Head, MediaPolicy, Receipt, Statement, Withheld, sign_statement

NOW = 1_900_000_000_000
TERM = 30 * 24 * 3_600 * 1_000
KEEPERS_KEY = SigningKey(b"\x07" * 32)


@cache
def people() -> tuple[Person, Person, list[Written]]:
    author, keeper = Person("author", 1), Person("keeper", 2)
    return author, keeper, author.posts(21)


def log() -> list[UnverifiedEntry]:
    return [parse_entry(written.entry.block) for written in people()[2]]


def say(claim: Claim, *, time: int = NOW, expires: int | None = None, key: SigningKey = KEEPERS_KEY) -> Statement:
    keeper = people()[1]
    end = time + TERM if expires is None else expires
    return sign_statement(key, keeper.account, claim, time=time, expires=end, network=NETWORK)


@dataclass(frozen=True)
class Pair:
    """A receipt up to an entry and an absent of another; everything about them can be changed."""

    head: int = 20
    entry: int = 13
    reason: str = "unknown"
    withheld: tuple[int, ...] = ()
    receipt_at: int = NOW
    absent_at: int = NOW + 1_000
    term: int = TERM
    absent_key: SigningKey = KEEPERS_KEY
    names: str = "this"
    of_absent: Cid | None = None
    cut: Cut | None = OPEN

    def receipt(self) -> Statement:
        author, _, written = people()
        heads = (Head(author.key, self.head, written[self.head].cid),)
        withheld = tuple(Withheld(written[seq].cid, "order of a court") for seq in self.withheld)
        claim = Receipt(author.account, heads, withheld, bytes(32), MediaPolicy.NONE)
        return say(claim, time=self.receipt_at, expires=self.receipt_at + self.term)

    def absent(self) -> Statement:
        author, _, written = people()
        named = {"this": self.receipt().digest, "another": bytes(32), "none": None}[self.names]
        claim = Absent(self.of_absent or author.account, written[self.entry].cid, self.reason, named)
        return say(claim, time=self.absent_at, key=self.absent_key)

    def chain(self) -> list[UnverifiedEntry]:
        return log()[self.entry + 1 : self.head + 1][::-1]

    def find(self, chain: list[UnverifiedEntry] | None = None) -> Contradiction:
        shown = self.chain() if chain is None else chain
        return find_contradiction(self.receipt(), self.absent(), shown, cut_of=lambda _: self.cut, network=NETWORK)


def test_a_receipt_that_covers_an_entry_and_an_absent_under_it_name_the_keeper() -> None:
    author, keeper, written = people()
    found = Pair().find()
    assert (found.keeper, found.key) == (keeper.account, KEEPERS_KEY.public)
    assert (found.entry, found.log, found.seq) == (written[13].cid, author.key, 13)
    assert written[13].cid not in {entry.cid for entry in found.chain}


@pytest.mark.parametrize("seq", [0, 19, 20])
def test_a_receipt_covers_every_entry_from_its_head_to_the_first(seq: int) -> None:
    assert Pair(entry=seq).find().seq == seq


def cut_at(seq: int) -> Cut:
    return seq, people()[2][seq].cid.bytes


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        pytest.param(Pair(names="none"), "does not name", id="an absent that names no receipt"),
        pytest.param(Pair(names="another"), "does not name", id="an absent under another receipt"),
        pytest.param(Pair(absent_key=SigningKey(b"\x08" * 32)), "does not name", id="another device of the keeper"),
        pytest.param(Pair(of_absent=people()[1].account), "does not name", id="about another account"),
        pytest.param(Pair(absent_at=NOW - 1), "within the term", id="before the receipt"),
        pytest.param(Pair(term=999), "within the term", id="after the receipt ended"),
        pytest.param(Pair(withheld=(13,)), "as withheld", id="the receipt lists it"),
        pytest.param(Pair(reason="deleted"), "took it back", id="the author took it back, says the keeper"),
        pytest.param(Pair(cut=None), "void", id="a device that the account no longer lists"),
        pytest.param(Pair(cut=NOTHING), "void", id="a device of which nothing stays"),
        pytest.param(Pair(cut=cut_at(12)), "void", id="a revoke with a cut below the entry"),
        pytest.param(Pair(head=15, cut=cut_at(16)), "cut", id="a cut the chain does not pass"),
        pytest.param(Pair(cut=(15, people()[2][3].cid.bytes)), "cut", id="a cut on another branch"),
    ],
)
def test_a_pair_that_an_honest_keeper_can_have_signed_names_nobody(pair: Pair, why: str) -> None:
    with pytest.raises(NoContradiction, match=why):
        pair.find()


def test_below_a_cut_a_promise_holds() -> None:
    assert Pair(cut=cut_at(15)).find().seq == 13
    assert Pair(cut=cut_at(13)).find().seq == 13


def test_a_chain_must_lead_link_by_link_from_the_head_to_the_entry() -> None:
    chain = Pair().chain()
    assert len(chain) == 7
    other = Person("other", 9)
    strange = [parse_entry(each.entry.block) for each in other.posts(8)][::-1]
    wrong = [
        [],
        chain[1:],
        chain[:-1],
        chain[:3] + chain[4:],
        chain[::-1],
        [chain[0], chain[2], chain[1], *chain[3:]],
        strange,
        [chain[0], *strange[1:]],
        [*chain, *log()[13:14]],
    ]
    for each in wrong:
        with pytest.raises(NoContradiction):
            Pair().find(each)


def test_a_head_that_its_author_did_not_sign_proves_nothing() -> None:
    """A keeper may be led to name a block as a head that no device of the account ever signed."""
    author, _, _ = people()
    last = parse_entry(spoil_signature(people()[2][20].entry).block)
    claim = Receipt(author.account, (Head(author.key, 20, last.cid),), (), bytes(32), MediaPolicy.NONE)
    receipt = say(claim)
    absent = say(Absent(author.account, log()[13].cid, "", receipt.digest), time=NOW + 1)
    with pytest.raises(NoContradiction, match="no signature"):
        find_contradiction(receipt, absent, [last, *Pair().chain()[1:]], cut_of=lambda _: OPEN, network=NETWORK)


def test_an_author_who_signs_a_head_and_gives_the_record_to_nobody_frames_no_one() -> None:
    """The keeper's receipt ends where its disk ends; nothing that it signed leads up to what the author keeps back."""
    pair = Pair(head=19, entry=20)
    for chain in ([], log()[20:21], log()[19:20], log()[19:21]):
        with pytest.raises(NoContradiction):
            pair.find(chain)


def test_a_chain_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contradictions, "MAX_CHAIN", 7)
    assert len(Pair().find().chain) == 7
    with pytest.raises(NoContradiction, match="at most 7"):
        Pair(entry=12).find()


def test_a_keeper_is_named_once_on_the_shortest_chain_and_its_word_explains_nothing() -> None:
    author, keeper, written = people()
    found = [Pair(reason="order of a court", entry=seq).find() for seq in (3, 13, 18)]
    refusals = tuple(
        Refusal(keeper.account, KEEPERS_KEY.public, written[seq].cid, "order of a court", NOW, True)
        for seq in (3, 13, 18)
    )
    verdict = judge(Known(author.account, (), refusals=refusals, contradictions=tuple(found)), NOW)
    assert verdict.accused == (found[2],)


def test_the_times_of_a_pair_may_be_the_same() -> None:
    assert replace(Pair(), absent_at=NOW).find()
    assert replace(Pair(), term=1_000).find()
