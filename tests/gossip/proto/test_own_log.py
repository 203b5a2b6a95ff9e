"""The log this device writes leaves only after the peer has shown what it holds of it."""

from random import Random

import pytest
from tests.gossip.proto.conftest import End, Pair, Store, account, item, key, operation
from tests.gossip.proto.test_hostile import HELLO

from unhush.gossip.proto import limits
from unhush.gossip.proto.config import Own, SessionConfig
from unhush.gossip.proto.events import InterestsChanged, Opened, OwnChecked, Received, Tick
from unhush.gossip.proto.frame_encoding import encode_frame
from unhush.gossip.proto.frames import Carries, CaughtUp, Credit, Frame, Points, Want, WantedAccount
from unhush.gossip.proto.ranges import NOTHING, Ranges
from unhush.gossip.proto.session import Session
from unhush.identity.keys import PublicKey

ME, THEM = account("me"), account("them")
LAPTOP, PHONE, STRANGER = key("laptop"), key("phone"), key("stranger")
OWN = Own(ME, LAPTOP)


def config(own: Own | None = None) -> SessionConfig:
    return SessionConfig("test", "test", own=own)


def home() -> Store:
    """What our home holds: its own log, another device's, and somebody else's."""
    store = Store()
    store.fill(ME, LAPTOP, range(20))
    store.fill(ME, PHONE, range(10))
    store.fill(THEM, STRANGER, range(10))
    store.put_op(ME, operation("incept"))
    return store


def met(store: Store, theirs: Store | None = None) -> Pair:
    """Our home as ``a``, and a follower of everybody in it."""
    pair = Pair(config(OWN), config(), stores=(store, theirs or Store()))
    pair.a.interest(carries=[ME, THEM], interests=[ME, THEM])
    pair.b.interest(carries=[ME, THEM], interests=[ME, THEM])
    return pair.open()


class Host:
    """Our home, and a peer we play by hand."""

    def __init__(self, credit: int = 10_000_000) -> None:
        self.now = 0.0
        self.end = End("host", home(), Session(config(OWN)), lambda: self.now, own=OWN)
        self.end.feed(Opened())
        self.end.feed(InterestsChanged(frozenset([ME, THEM]), frozenset([ME, THEM])))
        self.hear(HELLO, Credit(credit))

    def hear(self, *frames: Frame) -> None:
        for frame in frames:
            self.end.feed(Received(encode_frame(frame)))
            self.settle()

    def settle(self) -> None:
        while pending := self.end.pending():
            pending[0]()

    def sent_of(self, key_: PublicKey) -> int:
        return sum(len(sent.items) for sent in self.end.sent_entries() if sent.key == key_)


@pytest.mark.parametrize("seed", [None, *range(30)])
def test_what_a_clean_home_wrote_reaches_whoever_wants_it(seed: int | None) -> None:
    pair = met(home())
    pair.run(Random(seed) if seed is not None else None)
    assert pair.b.store.logs == pair.a.store.logs
    pair.a.store.fill(ME, LAPTOP, range(20, 25))
    pair.run()
    assert pair.b.store.logs == pair.a.store.logs
    assert pair.a.handed_on == Ranges.span(0, 24)
    assert pair.a.repeated == pair.b.repeated == 0


def test_before_the_peer_has_answered_only_our_own_log_is_held_back() -> None:
    host = Host()
    host.hear(Carries((ME, THEM)), Want((WantedAccount(ME), WantedAccount(THEM))))
    host.end.store.fill(ME, LAPTOP, [20])
    host.hear(Want(drop=()))
    assert (host.sent_of(LAPTOP), host.sent_of(PHONE), host.sent_of(STRANGER)) == (0, 10, 10)
    assert sum(len(sent.ops) for sent in host.end.sent_entries()) == 1
    assert host.end.handed_on == NOTHING

    host.hear(CaughtUp(1))

    assert host.sent_of(LAPTOP) == 21
    assert host.end.handed_on == Ranges.span(0, 20)


def test_a_peer_is_told_that_it_is_caught_up_when_it_has_our_log_too() -> None:
    host = Host()
    host.hear(Want((WantedAccount(THEM),)), Want((WantedAccount(ME),)))
    assert [sent.wants for sent in host.end.sent if isinstance(sent, CaughtUp)] == [1]
    host.hear(CaughtUp(1))
    assert [sent.wants for sent in host.end.sent if isinstance(sent, CaughtUp)] == [1, 2]
    assert host.end.sent[-1] == CaughtUp(2)


def test_what_is_held_back_for_long_holds_nothing_up() -> None:
    host = Host()
    host.hear(Want((WantedAccount(ME),)))
    assert not any(isinstance(sent, CaughtUp) for sent in host.end.sent)
    host.now = limits.OWN_CHECK_GRACE_S
    host.end.feed(Tick())
    assert host.end.sent[-1] == CaughtUp(1)
    host.end.feed(OwnChecked(is_clean=True))
    host.settle()
    assert host.sent_of(LAPTOP) == 20


def test_what_is_held_back_for_good_holds_nothing_up() -> None:
    host = Host()
    host.end.feed(OwnChecked(is_clean=False))
    host.hear(Want((WantedAccount(ME),)))
    assert host.end.sent[-1] == CaughtUp(1)
    assert host.sent_of(PHONE) == 10


def test_a_peer_that_stays_silent_gets_nothing_of_our_own_log() -> None:
    host = Host()
    host.hear(Want((WantedAccount(ME),)))
    for _ in range(1_000):
        host.now += 1
        host.end.feed(Tick())
        host.settle()
    assert host.sent_of(LAPTOP) == 0


def test_our_own_account_is_asked_of_every_peer_first_and_alone() -> None:
    host = Host()
    (want,) = [sent for sent in host.end.sent if isinstance(sent, Want)]
    assert [wanted.account for wanted in want.accounts] == [ME]
    host.hear(Carries((ME, THEM)))
    host.hear(Carries((), (ME,)))
    host.end.feed(InterestsChanged(frozenset(), frozenset()))
    host.settle()
    wants = [sent for sent in host.end.sent if isinstance(sent, Want)]
    assert all(ME not in want.drop for want in wants)


def test_a_new_device_has_all_there_is_when_it_is_told_so() -> None:
    pair = Pair(config(OWN), config(Own(ME, key("new"))), stores=(home(), Store()))
    for end in (pair.a, pair.b):
        end.interest(carries=[ME], interests=[ME])
    pair.open().run_until(lambda: pair.b.caught_up)
    assert pair.b.store.logs[ME] == pair.a.store.logs[ME]


def test_two_devices_of_one_account_do_not_wait_for_each_other() -> None:
    ours, theirs = home(), Store()
    del ours.logs[ME][PHONE]
    theirs.fill(ME, PHONE, range(10))
    pair = Pair(config(OWN), config(Own(ME, PHONE)), stores=(ours, theirs))
    for end in (pair.a, pair.b):
        end.interest(carries=[ME], interests=[ME])
    pair.open().run()
    assert set(pair.a.store.logs[ME]) == {LAPTOP}
    pair.wait(limits.OWN_CHECK_GRACE_S)
    assert pair.a.store.logs[ME] == pair.b.store.logs[ME]
    assert set(pair.a.store.logs[ME]) == {LAPTOP, PHONE}


@pytest.mark.parametrize("seed", range(30))
def test_a_home_whose_key_is_used_elsewhere_sends_nothing_more_of_it(seed: int) -> None:
    older = home()
    newer = Store()
    newer.fill(ME, LAPTOP, range(23))
    newer.fill(THEM, STRANGER, range(3))
    pair = met(older, newer)
    older.fill(THEM, STRANGER, range(10, 12))
    pair.run(Random(seed))
    assert older.clone_found
    assert pair.b.store.held(THEM, STRANGER) == Ranges.span(0, 11)
    assert not [sent for sent in pair.a.sent_entries() if sent.key == LAPTOP]
    assert pair.a.handed_on == NOTHING


def test_a_clone_that_turns_up_later_ends_the_sending_and_nothing_lets_it_go_on() -> None:
    pair = met(home()).run()
    pair.a.feed(OwnChecked(is_clean=False))
    pair.a.store.fill(ME, LAPTOP, range(20, 25))
    pair.a.store.fill(ME, PHONE, range(10, 15))
    pair.run()
    pair.a.feed(OwnChecked(is_clean=True))
    pair.run()
    assert pair.b.store.held(ME, LAPTOP) == Ranges.span(0, 19)
    assert pair.b.store.held(ME, PHONE) == Ranges.span(0, 14)


def test_a_clone_that_turns_up_while_our_log_is_read_is_in_time() -> None:
    pair = met(home())
    pair.run_until(lambda: any(getattr(answer, "key", None) == LAPTOP for answer in pair.a.answers))
    pair.a.feed(OwnChecked(is_clean=False))
    pair.run()
    assert LAPTOP not in pair.b.store.logs.get(ME, {})
    assert PHONE in pair.b.store.logs[ME]


def test_what_a_peer_claims_of_our_log_changes_nothing() -> None:
    host = Host()
    lie = {seq: bytes(16) for seq in range(0, 4_000, 100)}
    host.hear(
        Carries((ME,)),
        Want((WantedAccount(ME, logs={LAPTOP: Ranges.span(0, 10**9)}, tips={LAPTOP: bytes(16)}, forks={LAPTOP: 3}),)),
        Points(ME, LAPTOP, lie),
        CaughtUp(1),
        # What it does not claim to hold it gets, as if it had never claimed.
        Want((WantedAccount(ME, logs={LAPTOP: Ranges.of([(0, 4), (30, 10**9)])}, tips={LAPTOP: bytes(16)}),)),
        Points(ME, LAPTOP, lie),
    )
    assert not host.end.store.clone_found
    assert host.end.closed is None
    sent = {record for frame in host.end.sent_entries() if frame.key == LAPTOP for record in frame.items}
    assert sent >= {item(LAPTOP, seq) for seq in range(5, 20)}
    host.end.store.fill(ME, LAPTOP, [20])
    host.settle()
    assert item(LAPTOP, 20) in host.end.sent_entries()[-1].items


def test_what_is_claimed_before_the_check_brings_nothing_of_our_log_out() -> None:
    host = Host()
    host.hear(
        Want((WantedAccount(ME, logs={LAPTOP: Ranges.span(0, 10)}, tips={LAPTOP: bytes(16)}),)),
        Points(ME, LAPTOP, {0: bytes(16), 1: bytes(16)}),
        Points(ME, LAPTOP, {0: bytes(16)}),
    )
    assert host.sent_of(LAPTOP) == 0
    assert any(isinstance(sent, Points) for sent in host.end.sent), "the search itself goes on"


def test_what_a_small_credit_left_behind_does_not_count_as_handed_on() -> None:
    host = Host(credit=3 * limits.MIN_SENDING_CREDIT)
    host.end.store.fill(ME, LAPTOP, range(20, 5000))
    host.hear(Want((WantedAccount(ME),)), CaughtUp(1))
    (run,) = host.end.handed_on
    assert run[1] == 4999
    assert run[0] > 0
    assert host.sent_of(LAPTOP) == host.end.handed_on.count()
