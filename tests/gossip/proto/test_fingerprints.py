"""The tree of fingerprints is what its accounts and their states are, whatever its history."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.gossip.proto.conftest import account, key, tip_of

from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.fingerprints import BUCKET, EMPTY, AccountTree, Marks, cut_piece, state_of
from unhush.gossip.proto.limits import PIECE_BYTES
from unhush.gossip.proto.ranges import Ranges
from unhush.identity.cid import Cid, cid_of_digest

# Few different nibbles, so that accounts share long beginnings.
DIGEST = st.lists(st.sampled_from(b"\x00\x01\x10\xff"), min_size=4, max_size=4).map(
    lambda four: bytes(four) + bytes(28)
)
ACCOUNT = DIGEST.map(cid_of_digest)
STATE = st.integers(0, 3).map(lambda number: sha256(b"%d" % number).digest())


def tree_of(states: dict[Cid, bytes], salt: bytes = b"a") -> AccountTree:
    tree = AccountTree(salt)
    for each, state in states.items():
        tree.put(each, state)
    return tree


class Changing(RuleBasedStateMachine):
    """A tree that is changed and compared in any order, beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = AccountTree(b"a")
        self.states: dict[Cid, bytes] = {}

    @rule(changes=st.lists(st.tuples(ACCOUNT, STATE), min_size=1, max_size=40))
    def put(self, changes: list[tuple[Cid, bytes]]) -> None:
        for each, state in changes:
            self.tree.put(each, state)
            self.states[each] = state

    @rule(accounts=st.lists(ACCOUNT, min_size=1, max_size=40))
    def drop(self, accounts: list[Cid]) -> None:
        for each in accounts:
            self.tree.drop(each)
            self.states.pop(each, None)

    @invariant()
    def is_as_if_made_at_once(self) -> None:
        fresh = tree_of(self.states)
        assert len(self.tree) == len(self.states)
        for prefix in (b"", b"\x00", b"\x00\x01", b"\x0f\x0f\x00", b"\x00" * 8, b"\x07"):
            assert self.tree.children(prefix) == fresh.children(prefix)
            begins = "".join(f"{nibble:x}" for nibble in prefix)
            expected = sorted(each for each in self.states if each.digest.hex().startswith(begins))
            assert self.tree.items(prefix) == expected
            assert self.tree.count(prefix) == len(expected)


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=20, stateful_step_count=10, deadline=None)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(ACCOUNT, STATE, max_size=200), st.data())
def test_one_other_state_shows_in_every_part_it_is_in_and_in_no_other(
    states: dict[Cid, bytes], data: st.DataObject
) -> None:
    if not states:
        return
    changed = data.draw(st.sampled_from(sorted(states)))
    ours, theirs = tree_of(states), tree_of({**states, changed: bytes(32)})
    nibbles = bytes(int(digit, 16) for digit in changed.digest.hex())
    for depth in range(8):
        pairs = zip(ours.children(nibbles[:depth]), theirs.children(nibbles[:depth]), strict=True)
        assert [one != other for one, other in pairs] == [at == nibbles[depth] for at in range(16)]


def test_what_was_not_looked_up_yet_is_equal_to_nobodys() -> None:
    ours, theirs = tree_of({account("x"): bytes(32)}, b"a"), tree_of({account("x"): bytes(32)}, b"b")
    assert ours.children(b"") == theirs.children(b"")
    ours.spoil(account("x"))
    theirs.spoil(account("x"))
    assert ours.children(b"") != theirs.children(b"")
    theirs.put(account("x"), bytes(32))
    ours.put(account("x"), bytes(32))
    assert ours.children(b"") == theirs.children(b"")


def test_nothing_is_an_empty_fingerprint() -> None:
    assert AccountTree(b"a").children(b"") == [EMPTY] * 16
    emptied = tree_of({account(f"{number}"): bytes(32) for number in range(3 * BUCKET)})
    for number in range(3 * BUCKET):
        emptied.drop(account(f"{number}"))
    assert emptied.children(b"") == [EMPTY] * 16


def test_a_piece_finds_its_account_under_prefixes_of_any_length() -> None:
    accounts = [account(f"{number}") for number in range(500)]
    tree = tree_of(dict.fromkeys(accounts, bytes(32)))
    for each in accounts[:50]:
        nibbles = bytes(int(digit, 16) for digit in each.digest.hex())
        for depth in range(6):
            assert tree.find(nibbles[:depth], cut_piece(each, nibbles[:depth], PIECE_BYTES)) == [each]
    assert tree.find(b"", cut_piece(account("nobody"), b"", PIECE_BYTES)) == []


def test_marks_are_a_set_of_what_was_ever_in_the_tree() -> None:
    tree = tree_of({account(f"{number}"): bytes(32) for number in range(21)})
    full, marks = Marks(tree, is_full=True), Marks(tree)
    assert sorted(full) == sorted(tree)
    assert list(marks) == []
    tree.put(account("later"), bytes(32))
    assert account("later") not in full
    assert full.add(account("later"))
    assert not full.add(account("never"))
    full.discard(account("3"))
    tree.drop(account("4"))
    assert account("3") not in full
    assert account("4") in full  # it may come back
    assert len(list(full)) == 20
    copy = full.copy()
    copy.discard(account("5"))
    assert account("5") in full


SUMMARY = SummaryRead(
    account("x"),
    ops=(account("op 1"), account("op 2")),
    logs={key("k"): Ranges.of([(0, 4), (6, 9)]), key("l"): Ranges.of([(3, 3)])},
    tips={key("k"): (9, tip_of(b"k9"))},
    forks={key("l"): 3},
)


def test_a_state_is_the_same_in_any_order_and_without_logs_of_which_nothing_is_held() -> None:
    turned = SummaryRead(
        account("x"),
        ops=SUMMARY.ops[::-1],
        logs={key("m"): Ranges(), **dict(reversed(SUMMARY.logs.items()))},
        tips=SUMMARY.tips,
        forks=SUMMARY.forks,
    )
    assert state_of(turned) == state_of(SUMMARY) == state_of(SUMMARY, SUMMARY)


def test_whatever_is_held_otherwise_makes_another_state() -> None:
    logs = SUMMARY.logs
    others = [
        SummaryRead(account("x"), SUMMARY.ops[:1], logs, SUMMARY.tips, SUMMARY.forks),
        SummaryRead(account("x"), SUMMARY.ops, {key("k"): logs[key("k")]}, SUMMARY.tips, {}),
        SummaryRead(account("x"), SUMMARY.ops, {**logs, key("l"): Ranges.of([(3, 4)])}, SUMMARY.tips, SUMMARY.forks),
        SummaryRead(account("x"), SUMMARY.ops, logs, {key("k"): (9, tip_of(b"other"))}, SUMMARY.forks),
        SummaryRead(account("x"), SUMMARY.ops, logs, SUMMARY.tips, {key("l"): 2}),
        SummaryRead(account("x"), SUMMARY.ops, logs, SUMMARY.tips, {}),
    ]
    states = [state_of(SUMMARY), *map(state_of, others)]
    # An entry held without its body is not welcome again in full, but whoever lacks it holds less.
    beyond = SummaryRead(
        account("x"), SUMMARY.ops, {**logs, key("k"): Ranges.of([(0, 9)])}, SUMMARY.tips, SUMMARY.forks
    )
    states.append(state_of(SUMMARY, beyond))
    assert len(set(states)) == len(states)
