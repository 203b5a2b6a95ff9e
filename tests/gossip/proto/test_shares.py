"""Shares: one peer cannot take more than its own, nor all of them more than there is."""

from unhush.gossip.proto.shares import MAX_PEERS, Shares


def test_a_peer_has_its_share_and_all_together_theirs() -> None:
    shares = Shares(per_peer=2, in_all=3, interval_s=60.0)
    assert [shares.spend("a", 1, 0.0) for _ in range(3)] == [True, True, False]
    assert [shares.spend("b", 1, 0.0) for _ in range(2)] == [True, False]
    assert shares.spend("b", 1, 60.0)


def test_what_is_refused_costs_the_others_nothing() -> None:
    shares = Shares(per_peer=1, in_all=2, interval_s=60.0)
    for _ in range(10):
        shares.spend("greedy", 1, 0.0)
    assert shares.spend("modest", 1, 0.0)


def test_what_was_done_is_owed_and_paid_before_there_is_more() -> None:
    shares = Shares(per_peer=10, in_all=1_000, interval_s=10.0)
    assert shares.is_open("a", 0.0)
    shares.charge("a", 30, 0.0)
    assert not shares.is_open("a", 15.0)
    assert shares.is_open("b", 15.0)
    assert shares.is_open("a", 22.0)


def test_peers_remembered_are_bound() -> None:
    shares = Shares(per_peer=1, in_all=10**6, interval_s=60.0)
    for number in range(2 * MAX_PEERS):
        assert shares.spend(str(number), 1, 0.0)
    assert len(shares._by_peer) == MAX_PEERS
