"""Keepers in the virtual network: receipts and cards travel, honest ones are proven, and each lie shows as itself."""

import pytest

from unhush.gossip.proto.proving import Outcome
from unhush.identity.statement import Absent, Card, Heads, Receipt
from unhush.testing import SimNode, VirtualNetwork
from unhush.testing.keepers import Drops, Stalls, WithholdsSaying


def town(seed: int) -> tuple[VirtualNetwork, SimNode, SimNode]:
    """An author with twenty posts, and somebody who follows."""
    network = VirtualNetwork(seed, has_statements=True)
    author, reader = network.node("author"), network.node("reader")
    for number in range(20):
        author.post(f"post {number}")
    reader.follow(author)
    network.connect(reader, author)
    return network, author, reader


def outcomes(node: SimNode, of: SimNode, keeper: SimNode) -> set[Outcome]:
    return {proof.outcome for proof in node.statements.proofs.get(of.account, ()) if proof.keeper == keeper.account}


def test_heads_cards_and_receipts_reach_the_author_and_the_reader_within_seconds_and_are_proven() -> None:
    network, author, reader = town(1)
    keeper = network.node("keeper")
    keeper.keep(author)
    network.connect(keeper, author)
    network.run(20)
    for node in (author, reader):
        receipt = node.statements.receipts_of(author.account)[0]
        assert receipt.account == keeper.account
        assert isinstance(receipt.claim, Receipt)
        assert receipt.claim.heads[0].seq == 19
        assert isinstance(node.statements.cards(keeper.account)[0].claim, Card)
        heads = node.statements.heads_told(author.account)[0].claim
        assert isinstance(heads, Heads)
        assert heads.heads[0].seq == 19
    assert network.run(60, lambda: outcomes(author, author, keeper) == {Outcome.PROVEN})
    post = author.post("one more")
    network.run(75)
    assert keeper.has(post)
    newest = reader.statements.receipts_of(author.account)[0].claim
    assert isinstance(newest, Receipt)
    assert newest.heads[0].seq == 20


def test_a_promise_that_is_taken_back_ends_its_receipts() -> None:
    network, author, reader = town(2)
    keeper = network.node("keeper")
    keeper.keep(author)
    network.connect(keeper, author)
    network.run(30)
    keeper.unkeep(author)
    network.run(30)
    newest = reader.statements.receipts_of(author.account)[0].claim
    assert isinstance(newest, Receipt)
    assert newest.heads == ()


@pytest.mark.parametrize("seed", range(5))
def test_three_keepers_three_ends_and_no_honest_one_is_accused(seed: int) -> None:
    network, author, reader = town(seed)
    honest = network.node("honest")
    drops = network.node("drops", manners=Drops(seed, seqs={13}))
    stalls = network.node("stalls", manners=Stalls(seed))
    withholds = network.node("withholds", manners=WithholdsSaying(seed, seqs={13}, reason="a court said so"))
    for keeper in (honest, drops, stalls, withholds):
        keeper.keep(author)
        network.connect(keeper, author)
        network.connect(reader, keeper)
    network.run(90)
    for keeper in (honest, drops, stalls):
        for node in (author, reader):
            assert node.challenge(keeper, author, seq=13)
    assert not reader.challenge(withholds, author, seq=13)  # its receipt says that it has not
    network.run(60)
    assert Outcome.CONTRADICTION in outcomes(author, author, drops)
    for node in (author, reader):
        assert outcomes(node, author, honest) == {Outcome.PROVEN}
        assert outcomes(node, author, withholds) <= {Outcome.PROVEN}
        assert outcomes(node, author, stalls) == set()
    caught = next(proof for proof in reader.statements.proofs[author.account] if proof.outcome is Outcome.CONTRADICTION)
    receipt, absent = caught.evidence
    assert receipt.account == absent.account == drops.account
    assert isinstance(receipt.claim, Receipt)
    assert isinstance(absent.claim, Absent)
    assert absent.claim.receipt == receipt.digest
    listed = next(each for each in reader.statements.receipts_of(author.account) if each.account == withholds.account)
    assert isinstance(listed.claim, Receipt)
    assert [each.reason for each in listed.claim.withheld] == ["a court said so"]


def test_a_keeper_that_lost_its_disk_is_not_accused() -> None:
    """Its store forgets a body; before it says so it signs a receipt that covers less."""
    network, author, reader = town(7)
    keeper = network.node("keeper")
    keeper.keep(author)
    network.connect(keeper, author)
    network.connect(reader, keeper)
    network.run(30)
    store = keeper.store
    log = store._accounts[author.account].logs[author.store.own.key]  # type: ignore[attr-defined]  # in memory
    for held in log.shown.values():
        held.body = None
    log.bodiless.update(log.shown)
    for seq in range(20):
        reader.challenge(keeper, author, seq=seq)
        author.challenge(keeper, author, seq=seq)
        network.run(2)
    newest = reader.statements.receipts_of(author.account)[0].claim
    assert isinstance(newest, Receipt)
    assert newest.heads == ()
    for node in (author, reader):
        assert outcomes(node, author, keeper) <= {Outcome.PROVEN}


def test_who_lost_all_its_peers_finds_a_keeper_by_its_card() -> None:
    network, author, reader = town(8)
    keeper, other = network.node("keeper"), network.node("other")
    keeper.keep(author)
    network.connect(keeper, author)
    network.run(30)
    assert reader.statements.cards(keeper.account)
    author.crash()
    other.follow(keeper)  # nobody else knows where it is
    assert network.run(120, lambda: "keeper" in reader.connections)


def test_one_seed_makes_one_history_with_statements_too() -> None:
    def digest() -> str:
        network, author, _ = town(9)
        keeper = network.node("keeper", manners=Drops(1, seqs={3}))
        keeper.keep(author)
        network.connect(keeper, author)
        network.run(150)
        return network.trace.digest()

    assert digest() == digest()
