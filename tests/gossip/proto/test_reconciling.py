"""Two carriers of many accounts find where they differ, say little, and miss nothing."""

from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gossip.proto.conftest import account

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Send
from unhush.gossip.proto.faults import MalformedFrame, RangesUnasked
from unhush.gossip.proto.fingerprints import AccountTree
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frame_parsing import parse_frame
from unhush.gossip.proto.frames import Hello, RangesFrame
from unhush.gossip.proto.outbox import Outbox
from unhush.gossip.proto.reconciling import Reconciling
from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.codec import Value, decode_map, encode

Row = tuple[bytes, bytes]

NONCES = bytes(16), b"\x01" * 16


class Half:
    """One side, and what it said."""

    def __init__(self, states: dict[Cid, bytes], ours: bytes, theirs: bytes) -> None:
        self.tree = AccountTree(ours)
        for each, state in states.items():
            self.tree.put(each, state)
        self.outbox = Outbox()
        self.machine = Reconciling(self.tree, (ours, theirs), self.outbox)
        self.sent: list[bytes] = []

    def say(self, now: float) -> list[bytes]:
        self.machine.flush(now)
        said = [action.payload for action in self.outbox.take() if isinstance(action, Send)]
        for payload in said:
            self.outbox.written(len(payload))
        self.sent += said
        return said

    def hear(self, payload: bytes) -> None:
        frame = parse_frame(payload)
        assert isinstance(frame, RangesFrame)
        self.machine.received(frame)


def compare(left: dict[Cid, bytes], right: dict[Cid, bytes], nonces: tuple[bytes, bytes] = NONCES) -> tuple[Half, Half]:
    a, b = Half(left, *nonces), Half(right, *nonces[::-1])
    now = 0.0
    while not (a.machine.is_done and b.machine.is_done):
        said = [(b, payload) for payload in a.say(now)] + [(a, payload) for payload in b.say(now)]
        for side, payload in said:
            side.hear(payload)
        now += 1.0
        assert now < 1_000, "it never ends"
    return a, b


def verdict(half: Half) -> tuple[set[Cid], set[Cid]]:
    return set(half.machine.shared), set(half.machine.differing)


def assert_found(left: dict[Cid, bytes], right: dict[Cid, bytes], a: Half, b: Half) -> None:
    both = left.keys() & right.keys()
    differing = {each for each in both if left[each] != right[each]}
    assert verdict(a) == verdict(b) == (both, differing)


DIGEST = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.lists(st.sampled_from(b"\x00\x01\x10\xff"), min_size=4, max_size=4).map(lambda four: bytes(four) + bytes(28)),
)
STATES = st.dictionaries(DIGEST.map(cid_of_digest), st.sampled_from([bytes(32), b"\x01" * 32]), max_size=300)


@settings(max_examples=50, deadline=None)
@given(STATES, STATES, STATES, st.booleans())
def test_any_two_find_just_where_they_differ(
    both: dict[Cid, bytes], ours: dict[Cid, bytes], theirs: dict[Cid, bytes], is_turned: bool
) -> None:
    left, right = {**both, **ours}, {**both, **theirs}
    a, b = compare(left, right, NONCES[::-1] if is_turned else NONCES)
    assert_found(left, right, a, b)


def crowd(count: int, since: int = 0) -> dict[Cid, bytes]:
    return {account(f"{number}"): sha256(b"%d" % number).digest() for number in range(since, since + count)}


@pytest.mark.parametrize("changed", [0, 1, 30, 300])
def test_what_is_said_grows_with_the_differences_not_with_the_accounts(changed: int) -> None:
    left = crowd(10_000)
    right = left | dict.fromkeys(list(left)[:changed], bytes(32))
    a, b = compare(left, right)
    assert_found(left, right, a, b)
    said = sum(map(len, a.sent + b.sent))
    assert said <= 300 + 1_500 * changed


def test_carriers_of_nothing_in_common_name_each_account_once_at_most() -> None:
    left, right = crowd(3_000), crowd(3_000, since=3_000)
    a, b = compare(left, right)
    assert_found(left, right, a, b)
    assert sum(map(len, a.sent + b.sent)) <= 20 * 6_000


@pytest.mark.parametrize("few", [0, 5])
def test_a_carrier_of_few_is_not_told_all_that_one_of_many_carries(few: int) -> None:
    left, right = crowd(5_000), crowd(few)
    for nonces in (NONCES, NONCES[::-1]):
        a, b = compare(left, right, nonces)
        assert_found(left, right, a, b)
        assert sum(map(len, a.sent + b.sent)) <= 6_000


def test_fingerprints_are_of_this_meeting_alone() -> None:
    left, right = crowd(100), crowd(100, since=50)
    one, _ = compare(left, right, (bytes(16), b"\x01" * 16))
    other, _ = compare(left, right, (bytes(16), b"\x02" * 16))
    assert one.sent[0] != other.sent[0]


def test_accounts_whose_pieces_are_alike_are_looked_at_in_detail() -> None:
    """Somebody made two accounts with the same beginning: neither is ever taken for the other."""
    one, twin = cid_of_digest(b"\x07" * 20 + bytes(12)), cid_of_digest(b"\x07" * 20 + b"\x01" * 12)
    left = {**crowd(100), one: bytes(32), twin: bytes(32)}
    right = {**crowd(100), one: bytes(32)}
    a, b = compare(left, right)
    assert {one} <= verdict(a)[0]
    assert one in verdict(b)[0]
    # What cannot be told apart is asked for: nobody is told "equal" of an account the other may not have.
    assert verdict(a)[1] | verdict(b)[1] <= {one, twin}
    assert {one, twin} & verdict(b)[1] or twin not in verdict(a)[0]


def test_growth_while_they_compare_is_never_called_equal_on_both_sides_unless_it_came_after() -> None:
    left = crowd(2_000)
    a, b = Half(left, *NONCES), Half(left, *NONCES[::-1])
    changed = account("77")
    a.tree.spoil(changed)
    now = 0.0
    while not (a.machine.is_done and b.machine.is_done):
        for side, payload in [(b, said) for said in a.say(now)] + [(a, said) for said in b.say(now)]:
            side.hear(payload)
        now += 1.0
    assert verdict(a)[1] == verdict(b)[1] == {changed}


# --- strangers -----------------------------------------------------------------------------------------------


def begun() -> Half:
    """Somebody of many accounts who has told the first 16 fingerprints."""
    half = Half(crowd(2_000), *NONCES)
    half.say(0.0)
    return half


PARTS = bytes(16 * limits.FINGERPRINT_BYTES)


@pytest.mark.parametrize(
    "frame",
    [
        RangesFrame(0, parts=((b"", PARTS),)),  # we began
        RangesFrame(0, parts=((b"\x01\x02", PARTS),)),  # a part of a part that was not told
        RangesFrame(0, lists=((b"\x01", b""), (b"\x01", b""))),  # twice
        RangesFrame(0, parts=((b"\x01", PARTS),), lists=((b"\x01", b""),)),
        RangesFrame(0, verdicts=((b"\x01", b"\x00"),)),  # on no list
        RangesFrame(2),
    ],
)
def test_what_was_not_asked_is_refused(frame: RangesFrame) -> None:
    with pytest.raises(RangesUnasked):
        begun().hear(encode_frame(frame))


def test_an_answer_after_the_answer_is_refused() -> None:
    half = begun()
    half.hear(encode_frame(RangesFrame(1)))
    assert half.machine.is_done
    with pytest.raises(RangesUnasked):
        half.hear(encode_frame(RangesFrame(1, lists=((b"\x01", b""),))))
    with pytest.raises(RangesUnasked):
        half.hear(encode_frame(RangesFrame(0)))


def test_verdicts_must_be_on_as_many_accounts_as_were_listed() -> None:
    half = begun()
    half.hear(encode_frame(RangesFrame(0, parts=((b"\x01", PARTS),))))
    (payload,) = half.say(1.0)
    frame = parse_frame(payload)
    assert isinstance(frame, RangesFrame)
    (prefix, items), (other, listed) = frame.lists[:2]
    count = len(items) // (2 * limits.PIECE_BYTES)
    with pytest.raises(RangesUnasked):
        half.hear(encode_frame(RangesFrame(1, verdicts=((prefix, bytes(count + 1)),))))
    with pytest.raises(MalformedFrame):
        half.hear(encode_frame(RangesFrame(1, verdicts=((other, b"\x03" * (len(listed) // 12)),))))


ROW = st.binary(max_size=8).map(lambda prefix: bytes(byte % 16 for byte in prefix))


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.tuples(ROW, st.binary(min_size=128, max_size=128)), max_size=10),
    st.lists(st.tuples(ROW, st.integers(0, 64).map(lambda count: bytes(12 * count))), max_size=10),
    st.lists(st.tuples(ROW, st.binary(min_size=1, max_size=64)), max_size=10),
)
def test_every_frame_survives_the_trip(answered: int, parts: list[Row], lists: list[Row], verdicts: list[Row]) -> None:
    frame = RangesFrame(answered, tuple(parts), tuple(lists), tuple(verdicts))
    assert parse_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize(
    "frame",
    [
        RangesFrame(-1),
        RangesFrame(0, parts=((b"\x10", PARTS),)),
        RangesFrame(0, parts=((b"\x01", PARTS[:-1]),)),
        RangesFrame(0, parts=((b"\x01" * 49, PARTS),)),
        RangesFrame(0, lists=((b"\x01", bytes(11)),)),
        RangesFrame(0, lists=((b"\x01", bytes(12 * 65)),)),
        RangesFrame(0, verdicts=((b"\x01", b""),)),
        RangesFrame(0, verdicts=((b"\x01", bytes(65)),)),
        RangesFrame(0, lists=((b"\x01", b""),) * 33),
    ],
)
def test_what_breaks_a_rule_is_refused(frame: RangesFrame) -> None:
    with pytest.raises(MalformedFrame):
        parse_frame(encode_frame(frame))


@pytest.mark.parametrize("ranges", [(bytes(15), 1), (bytes(16), -1), (bytes(16), True), (bytes(16),), 7])
def test_a_hello_says_properly_that_it_can_compare(ranges: Value) -> None:
    hello = decode_map(encode_frame(Hello("test", "test")), max_bytes=1_000, max_items=100)
    offered = hello["limits"]
    assert isinstance(offered, dict)
    with pytest.raises(MalformedFrame):
        parse_frame(encode({**hello, "limits": {**offered, "ranges": ranges}}))
    good = Hello("test", "test", nonce=bytes(16), accounts=7)
    assert parse_frame(encode_frame(good)) == good


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_what_a_stranger_says_ends_in_a_named_fault_or_an_answer(one: int, other: int, seed: int) -> None:
    """Frames of another comparison, in any order."""
    rng = Random(seed)
    a, b = compare(crowd(one * 10), crowd(other * 10, since=rng.randrange(300)))
    frames = a.sent + b.sent
    victim = Half(crowd(300), *NONCES)
    try:
        for _ in range(20):
            victim.say(1.0)
            victim.hear(rng.choice(frames))
    except (RangesUnasked, MalformedFrame):
        pass


def test_one_who_differs_in_everything_costs_one_walk_through_the_tree() -> None:
    """Whatever a peer makes up, what we say is bounded by what we hold."""
    half = begun()
    depth_first = [bytes((at,)) for at in range(16)]
    said, now = 0, 1.0
    while depth_first:
        rows = tuple((prefix, PARTS) for prefix in depth_first[: limits.RANGES_PER_FRAME])
        depth_first = depth_first[limits.RANGES_PER_FRAME :]
        half.hear(encode_frame(RangesFrame(0, parts=rows)))
        for payload in half.say(now):
            said += len(payload)
            frame = parse_frame(payload)
            assert isinstance(frame, RangesFrame)
            depth_first += [prefix + bytes((at,)) for prefix, _ in frame.parts for at in range(16)]
        now += 1.0
    assert said <= 40 * 2_000
