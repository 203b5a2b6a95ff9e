"""A root key finds its account at whoever holds it, and a peer that asks too much is told so."""

from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation
from tests.gossip.proto.test_hostile import Victim

from unhush.gossip.proto import limits
from unhush.gossip.proto.actions import Found
from unhush.gossip.proto.events import Find, Opened
from unhush.gossip.proto.frames import FindFrame, FoundFrame, Operation

ROOT, OTHER = key("root"), key("other")
INCEPT = operation("incept")


def pair_that_knows(*ops: Operation) -> Pair:
    pair = Pair()
    pair.a.store.inceptions[ROOT] = list(ops)
    return pair


def finds(end: End) -> list[FindFrame]:
    return [sent for sent in end.sent if isinstance(sent, FindFrame)]


def test_an_account_is_found_by_its_root_key() -> None:
    pair = pair_that_knows(INCEPT).open().run()
    pair.b.feed(Find(ROOT))
    pair.run()
    assert pair.b.found == [Found(ROOT, (INCEPT,))]


def test_a_question_from_before_the_hello_is_asked_after_it() -> None:
    pair = pair_that_knows(INCEPT)
    pair.b.feed(Opened())
    pair.b.feed(Find(ROOT))
    assert finds(pair.b) == []
    pair.a.feed(Opened())
    pair.run()
    assert pair.b.found == [Found(ROOT, (INCEPT,))]


def test_a_peer_that_knows_nothing_says_so() -> None:
    pair = pair_that_knows(INCEPT).open().run()
    pair.b.feed(Find(OTHER))
    pair.run()
    assert pair.b.found == [Found(OTHER, ())]


def test_a_question_may_be_asked_again_once_it_is_answered() -> None:
    pair = pair_that_knows().open().run()
    pair.b.feed(Find(ROOT))
    pair.b.feed(Find(ROOT))
    pair.run()
    pair.a.store.inceptions[ROOT] = [INCEPT]
    pair.b.feed(Find(ROOT))
    pair.run()
    assert pair.b.found == [Found(ROOT, ()), Found(ROOT, (INCEPT,))]


def test_many_questions_are_asked_only_as_fast_as_they_are_answered() -> None:
    pair = pair_that_knows(INCEPT).open().run()
    roots = [key(f"root {number}") for number in range(20)]
    for root in roots:
        pair.b.feed(Find(root))
    assert len(finds(pair.b)) == limits.MAX_FINDS
    pair.run()
    assert [found.root for found in pair.b.found] == roots
    assert pair.a.closed is None


def test_an_answer_takes_one_frame_that_every_peer_reads() -> None:
    ops = [Operation(item(key(f"{number}"), 0, 60_000).entry, bytes(60_000)) for number in range(12)]
    pair = pair_that_knows(*ops).open().run()
    pair.b.feed(Find(ROOT))
    pair.run()
    (found,) = pair.b.found
    assert found.ops == tuple(ops[:4])
    pair = pair_that_knows(*(operation(f"{number}") for number in range(20))).open().run()
    pair.b.feed(Find(ROOT))
    pair.run()
    assert len(pair.b.found[0].ops) == limits.MAX_FOUND


def test_an_answer_nobody_waits_for_is_skipped() -> None:
    victim = Victim()
    victim.hear(FoundFrame(ROOT, (INCEPT,)))
    assert victim.end.found == []
    victim.end.feed(Find(ROOT))
    victim.hear(FoundFrame(OTHER, (INCEPT,)), FoundFrame(ROOT), FoundFrame(ROOT, (INCEPT,)))
    assert victim.end.found == [Found(ROOT, ())]
    assert not victim.is_closed()


def test_a_peer_that_looks_for_everybody_is_refused() -> None:
    victim = Victim()
    victim.end.is_writing = False
    for number in range(limits.MAX_FINDS + 1):
        assert not victim.is_closed()
        victim.hear_without_reading(FindFrame(key(f"{number}")))
    victim.assert_closed("too-many-frames")


def test_looking_up_waits_for_nothing_the_peer_wants() -> None:
    store = Store()
    store.fill(account("x"), key("k"), range(2_000), body_bytes=2_000)
    store.inceptions[ROOT] = [INCEPT]
    pair = Pair(stores=(store, Store()))
    pair.a.interest(carries=[account("x")])
    pair.b.interest(interests=[account("x")])
    pair.open().run_until(lambda: pair.b.delivered)
    pair.b.feed(Find(ROOT))
    pair.run_until(lambda: pair.b.found)
    assert pair.b.delivered < 1_000
