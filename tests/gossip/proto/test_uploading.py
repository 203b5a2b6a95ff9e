"""Blocks go out evenly: so fast to one peer, so fast to all, in the order in which they were asked for."""

from unhush.gossip.proto import uploading
from unhush.gossip.proto.uploading import ALL_BYTES_PER_S, BURST_S, PEER_BYTES_PER_S, Uploads

BLOCK = 262_144


def given_within(uploads: Uploads, peers: list[str], seconds: float) -> dict[str, int]:
    """Bytes that each peer gets if all of them ask for one block after the other, without a pause."""
    due = {peer_id: uploads.book(peer_id, BLOCK, 0.0) for peer_id in peers}
    given = dict.fromkeys(peers, 0)
    while True:
        peer_id = min(due, key=lambda each: due[each])
        now = due[peer_id]
        if now > seconds:
            return given
        given[peer_id] += BLOCK
        due[peer_id] = now + uploads.book(peer_id, BLOCK, now)


def test_one_peer_gets_its_rate_and_a_second_of_it_at_once() -> None:
    (given,) = given_within(Uploads(), ["a"], 10.0).values()
    assert abs(given - (10 + BURST_S) * PEER_BYTES_PER_S) <= BLOCK


def test_many_peers_share_the_rate_of_all_evenly() -> None:
    given = given_within(Uploads(), [f"p{number}" for number in range(16)], 20.0)
    assert abs(sum(given.values()) - (20 + BURST_S) * ALL_BYTES_PER_S) <= 17 * BLOCK
    # But for what the first got at once.
    assert max(given.values()) - min(given.values()) <= BURST_S * PEER_BYTES_PER_S + 2 * BLOCK


def test_who_comes_while_others_take_all_they_can_waits_a_moment_only() -> None:
    uploads = Uploads()
    for number in range(16):
        for _ in range(2):
            uploads.book(f"greedy{number}", BLOCK, 0.0)
    assert uploads.book("late", BLOCK, 0.0) <= 32 * BLOCK / ALL_BYTES_PER_S


def test_a_new_connection_begins_with_no_new_allowance() -> None:
    uploads = Uploads()
    for _ in range(100):
        uploads.book("a", BLOCK, 0.0)
    assert uploads.book("a", BLOCK, 1.0) > 4


def test_what_is_remembered_is_bounded() -> None:
    uploads = Uploads()
    for number in range(3 * uploading.MAX_PEERS):
        uploads.book(f"p{number}", 1, float(number))
    assert len(uploads._until) == uploading.MAX_PEERS
