"""Shares: one peer cannot take more than its own, nor all of them more than there is, nor keep others from theirs."""

from unhush.gossip.proto.proving import ANSWERED, ANSWERED_INTERVAL_S, ANSWERED_PER_PEER
from unhush.gossip.proto.shares import MAX_PEERS, PEERS_PER_BLOCK, Asker, Shares

A, B, C = Asker("a", "10"), Asker("b", "20"), Asker("c", "30")


def test_a_peer_has_its_share_and_all_together_theirs() -> None:
    shares = Shares(per_peer=4, in_all=12, interval_s=60.0)
    assert [shares.spend(A, 1, 0.0) for _ in range(5)] == [True] * 4 + [False]
    # Six are for strangers; then who took nothing goes before, and owes it.
    assert [shares.spend(B, 1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert shares.spend(A, 4, 120.0)


def test_what_is_refused_costs_the_others_nothing() -> None:
    shares = Shares(per_peer=1, in_all=4, interval_s=60.0)
    assert not shares.spend(A, 2, 0.0)
    assert shares.spend(A, 1, 0.0)
    assert shares.spend(B, 1, 0.0)


def test_what_was_done_is_owed_and_paid_before_there_is_more() -> None:
    shares = Shares(per_peer=10, in_all=1_000, interval_s=10.0)
    assert shares.is_open(A, 0.0)
    shares.charge(A, 60, 0.0)
    assert not shares.is_open(A, 40.0)
    assert shares.is_open(A, 51.5)
    assert shares.is_open(B, 0.0)


def test_peers_remembered_are_bound() -> None:
    shares = Shares(per_peer=1, in_all=10**6, interval_s=60.0)
    for number in range(2 * MAX_PEERS):
        assert shares.spend(Asker(str(number), f"block {number}"), 1, 0.0)
    assert max(map(len, (shares._by_peer, shares._by_block, shares._taken))) == MAX_PEERS


def test_many_peers_of_one_network_have_what_two_have() -> None:
    shares = Shares(per_peer=10, in_all=1_000, interval_s=60.0)
    got = sum(shares.spend(Asker(str(number % 50), "10"), 1, 0.0) for number in range(500))
    assert got == PEERS_PER_BLOCK * 10
    assert all(shares.spend(Asker(f"near {number}"), 10, 0.0) for number in range(40))  # of no network that matters


def test_those_who_ask_as_fast_as_they_may_keep_nobody_else_out_and_get_no_more_than_there_is() -> None:
    for crowd in (6, 40):
        shares = Shares(ANSWERED_PER_PEER, ANSWERED, ANSWERED_INTERVAL_S)
        taken, answers, friends = 0, [], []
        for second in range(0, 3_600, 6):
            for peer in range(crowd):
                taken += shares.spend(Asker(f"evil {peer}", f"10.{peer}"), 1, float(second))
            if second % 600 == 330:
                answers.append(shares.spend(Asker("honest", "20"), 1, float(second)))
            if second % 60 == 30:
                friends.append(shares.spend(Asker("friend", "30", is_known=True), 10, float(second)))
        assert all(answers), crowd
        assert all(friends), crowd
        assert taken <= 60 * ANSWERED, crowd


def test_the_known_have_what_strangers_leave_beside_their_own_half() -> None:
    shares = Shares(per_peer=100, in_all=100, interval_s=60.0)
    friend = Asker("friend", "30", is_known=True)
    assert shares.spend(friend, 50, 0.0)
    assert shares.spend(friend, 50, 0.0)
    assert not shares.spend(friend, 1, 0.0)
