"""Kept by: which keepers count for which record, by their own word and by what they showed."""

from dataclasses import dataclass
from random import Random

import pytest
from tests.support.people import START_MS, Clock, Home, Person, Written, arrivals_of, ingest
from tests.support.saying import DAY_MS, receipt, say, take

from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey
from unhush.identity.statement import Claim, Head, Receipt, Withheld
from unhush.storage.errors import NotFound
from unhush.storage.keeping import proofs
from unhush.storage.keeping.keptby import PROVEN_MS, KeptBy
from unhush.storage.keeping.proofs import Proof
from unhush.storage.keeping.statements import Took
from unhush.storage.kinds import Delete, Follow, Keeper, Post
from unhush.storage.records import Record


@dataclass
class Circle:
    """Bob's account as Ann sees it, and four who may say that they keep it."""

    home: Home
    bob: Person
    posts: list[Written]
    accepted: Person
    followed: Person
    stranger: Person

    def say(self, keeper: Person, claim: Claim, *, time: int = START_MS, term_ms: int = 7 * DAY_MS) -> Took:
        return take(self.home.store, say(keeper, claim, time=time, term_ms=term_ms, ops=(keeper.incept,)))[0]

    def hold(self, keeper: Person, count: int, *withheld: Written) -> None:
        """A receipt for so many of Bob's posts."""
        at = self.posts[count - 1]
        listed = tuple(Withheld(each.cid, "why") for each in withheld)
        assert self.say(keeper, receipt(self.bob.account, head_of(at), withheld=listed)) is Took.STORED

    def show(self, keeper: Person, *, ok: bool = True, at_ms: int = START_MS, entry: Cid | None = None) -> None:
        """A challenge for Bob's first post, or for another entry."""
        asked = entry or self.posts[0].cid
        self.home.store.proofs.note(self.bob.account, keeper.account, asked, at_ms, ok, "" if ok else "no")

    def kept_by(self, written: Written | Cid, now_ms: int = START_MS) -> KeptBy:
        with self.home.store.snapshot() as snapshot:
            record = snapshot.record(written if isinstance(written, Cid) else written.cid)
            if record is None:
                raise NotFound("no such record")
            return snapshot.kept_by(record, now_ms)

    def keepers(self, now_ms: int = START_MS) -> list[tuple[Cid, bool, bool]]:
        with self.home.store.snapshot() as snapshot:
            views = snapshot.keepers_of(self.bob.account, now_ms)
        return [(view.keeper, view.is_trusted, view.is_proven) for view in views]

    def proving(self) -> set[PublicKey]:
        """The logs whose heads prove something, of those that the one keeper names that has said anything."""
        with self.home.store.snapshot() as snapshot:
            (view,) = (each for each in snapshot.keepers_of(self.bob.account, START_MS) if each.receipt is not None)
            assert view.receipt is not None
            claim = view.receipt.claim
            assert isinstance(claim, Receipt)
            of = self.bob.account
            return {head.key for head in claim.heads if snapshot.proves(of, view, claim, head, START_MS)}


def head_of(written: Written) -> Head:
    return Head(written.entry.header.key, written.seq, written.cid)


@pytest.fixture
def circle(home: Home, known_bob: Person, clock: Clock) -> Circle:
    accepted, followed, stranger = (Person(f"{seed}", seed=seed, clock_ms=clock) for seed in (40, 41, 42))
    posts = known_bob.posts(6)
    asks = known_bob.write(Keeper(accepted.account))
    ingest(home.store, *arrivals_of([*posts, asks]))
    home.publish(Follow(followed.account))
    return Circle(home, known_bob, posts, accepted, followed, stranger)


def test_a_record_is_on_this_device_only_until_somebody_says_otherwise(circle: Circle) -> None:
    assert circle.kept_by(circle.posts[0]) == (0, 0)
    assert circle.keepers() == [(circle.accepted.account, True, False)]  # asked, and says nothing yet


def test_a_receipt_counts_as_unproven_until_its_keeper_showed_something(circle: Circle) -> None:
    circle.hold(circle.accepted, 6)
    assert circle.kept_by(circle.posts[0]) == (0, 1)
    circle.show(circle.accepted)
    assert circle.kept_by(circle.posts[0]) == (1, 0)


def test_only_who_is_accepted_or_followed_counts(circle: Circle) -> None:
    for keeper in (circle.accepted, circle.followed, circle.stranger):
        circle.hold(keeper, 6)
        circle.show(keeper)
    assert circle.kept_by(circle.posts[0]) == (2, 1)
    assert {(keeper, trusted) for keeper, trusted, _ in circle.keepers()} == {
        (circle.accepted.account, True),
        (circle.followed.account, True),
        (circle.stranger.account, False),
    }


def test_who_is_asked_no_longer_counts_no_longer(circle: Circle) -> None:
    circle.hold(circle.accepted, 6)
    circle.show(circle.accepted)
    with circle.home.store.snapshot() as snapshot:
        bob = snapshot.account(circle.bob.account)
        assert bob is not None
        (asks,) = snapshot.keeper_records(bob, circle.accepted.account)
    ingest(circle.home.store, circle.bob.write(Delete(asks.cid)).arrival)
    assert circle.kept_by(circle.posts[0]) == (0, 1)


def test_it_covers_what_is_up_to_its_head_and_not_listed(circle: Circle) -> None:
    circle.hold(circle.accepted, 4, circle.posts[1])
    circle.show(circle.accepted)
    assert [circle.kept_by(each) for each in circle.posts] == [(1, 0), (0, 0), (1, 0), (1, 0), (0, 0), (0, 0)]


def test_a_head_of_another_branch_says_nothing_and_one_above_ours_covers_a_log_that_was_shown(circle: Circle) -> None:
    circle.show(circle.accepted)
    other = Head(circle.bob.key, 3, cid_of(b"another branch"))
    circle.say(circle.accepted, receipt(circle.bob.account, other))
    assert circle.kept_by(circle.posts[1]) == circle.kept_by(circle.posts[3]) == (0, 0)
    above = Head(circle.bob.key, 99, cid_of(b"not here yet"))
    circle.say(circle.accepted, receipt(circle.bob.account, above), time=START_MS + 1)
    assert circle.kept_by(circle.posts[5]) == (1, 0)


def test_a_made_up_head_is_its_keepers_word_alone(circle: Circle) -> None:
    """Nothing here can be asked for below such a head, so a passed challenge of anything else says nothing of it."""
    phone, added = circle.bob.add_device()
    mobile = circle.bob.write(Post("on the way"), by=phone)
    ingest(circle.home.store, added, mobile.arrival)
    made_up = Head(phone.key.public, 2**40, cid_of(b"made up"))
    circle.say(circle.accepted, receipt(circle.bob.account, head_of(circle.posts[5]), made_up))
    circle.show(circle.accepted)
    assert (circle.kept_by(circle.posts[5]), circle.kept_by(mobile)) == ((1, 0), (0, 1))
    assert circle.proving() == {circle.bob.key}
    circle.show(circle.accepted, entry=mobile.cid, at_ms=START_MS + 1)
    assert (circle.kept_by(circle.posts[5]), circle.kept_by(mobile)) == ((1, 0), (1, 0))
    assert circle.proving() == {circle.bob.key, phone.key.public}
    circle.show(circle.accepted, entry=cid_of(b"nothing that is here"), at_ms=START_MS + 2)
    assert (circle.kept_by(circle.posts[5]), circle.kept_by(mobile)) == ((1, 0), (0, 1))


def test_a_log_that_was_shown_counts_only_by_an_entry_that_the_receipt_covers(circle: Circle) -> None:
    made_up = Head(circle.bob.key, 2**40, cid_of(b"made up"))
    listed = Withheld(circle.posts[0].cid, "why")
    circle.say(circle.accepted, receipt(circle.bob.account, made_up, withheld=(listed,)))
    circle.show(circle.accepted)
    assert circle.kept_by(circle.posts[2]) == (0, 1)
    circle.show(circle.accepted, entry=circle.posts[1].cid, at_ms=START_MS + 1)
    assert circle.kept_by(circle.posts[2]) == (1, 0)


def test_a_head_that_comes_here_settles_what_it_was_worth(circle: Circle) -> None:
    later = circle.bob.post("one more")
    circle.say(circle.accepted, receipt(circle.bob.account, head_of(later)))
    circle.show(circle.accepted, entry=circle.bob.account)
    assert circle.kept_by(circle.posts[5]) == (0, 1)
    ingest(circle.home.store, later.arrival)
    assert circle.kept_by(circle.posts[5]) == circle.kept_by(later) == (1, 0)


def test_a_receipt_that_ended_or_without_heads_is_none(circle: Circle) -> None:
    circle.hold(circle.accepted, 6)
    circle.show(circle.accepted)
    circle.say(circle.accepted, receipt(circle.bob.account), time=START_MS + 1)
    assert circle.kept_by(circle.posts[0]) == (0, 0)
    circle.say(
        circle.accepted, receipt(circle.bob.account, head_of(circle.posts[5])), time=START_MS + 2, term_ms=DAY_MS
    )
    assert circle.kept_by(circle.posts[0]) == (1, 0)
    assert isinstance(circle.home.person.clock_ms, Clock)
    circle.home.person.clock_ms.advance(2 * DAY_MS)
    assert circle.kept_by(circle.posts[0], START_MS + 2 * DAY_MS) == (0, 0)


def test_a_proof_lasts_seven_days_and_a_later_failure_ends_it(circle: Circle) -> None:
    circle.say(circle.accepted, receipt(circle.bob.account, head_of(circle.posts[5])), term_ms=20 * DAY_MS)
    circle.show(circle.accepted)
    assert circle.kept_by(circle.posts[0], START_MS + PROVEN_MS - DAY_MS) == (1, 0)
    assert circle.kept_by(circle.posts[0], START_MS + PROVEN_MS + 1) == (0, 1)
    circle.show(circle.accepted, ok=False, at_ms=START_MS - 1)
    assert circle.kept_by(circle.posts[0]) == (1, 0)
    circle.show(circle.accepted, ok=False, at_ms=START_MS + 1)
    assert circle.kept_by(circle.posts[0]) == (0, 1)
    assert circle.home.store.proofs.of(circle.bob.account) == [
        Proof(circle.accepted.account, circle.posts[0].cid, START_MS + 1, False, "no"),
        Proof(circle.accepted.account, circle.posts[0].cid, START_MS, True),
    ]


def test_neither_our_own_node_nor_the_account_itself_is_a_keeper(circle: Circle) -> None:
    for person in (circle.home.person, circle.bob):
        circle.say(person, receipt(circle.bob.account, head_of(circle.posts[5])))
        circle.show(person)
    circle.home.publish(Follow(circle.bob.account), Follow(circle.home.person.account))
    assert circle.kept_by(circle.posts[0]) == (0, 0)


def test_two_boxes_of_one_keeper_are_one_keeper_that_holds_what_either_holds(circle: Circle) -> None:
    keeper = circle.accepted
    box, added = keeper.add_device("box")
    circle.hold(keeper, 3)
    circle.show(keeper)
    by_box = say(
        keeper,
        receipt(circle.bob.account, head_of(circle.posts[5]), withheld=(Withheld(circle.posts[0].cid, ""),)),
        by=box,
        ops=(keeper.incept, added),
        time=START_MS + 1,
    )
    assert take(circle.home.store, by_box) == [Took.STORED]
    assert [circle.kept_by(each) for each in circle.posts] == [(1, 0)] * 6
    ended = say(keeper, receipt(circle.bob.account), time=START_MS + 2)
    assert take(circle.home.store, ended) == [Took.STORED]
    assert [circle.kept_by(each) for each in circle.posts] == [(0, 0), *[(1, 0)] * 5]


def test_operations_are_held_by_who_holds_the_same_set(circle: Circle) -> None:
    circle.show(circle.accepted)
    with circle.home.store.snapshot() as snapshot:
        identity = snapshot.identity_digest(circle.bob.account)
    circle.say(circle.accepted, receipt(circle.bob.account, head_of(circle.posts[5]), identity=identity))
    assert circle.kept_by(circle.bob.account) == (1, 0)
    ingest(circle.home.store, circle.bob.add_device()[1])
    assert circle.kept_by(circle.bob.account) == (0, 0)


def test_an_entry_beside_the_shown_branch_is_held_by_nobody(circle: Circle) -> None:
    circle.show(circle.accepted)
    circle.bob.fork(circle.posts[2])
    beside = circle.bob.post("another fourth")
    ingest(circle.home.store, beside.arrival)
    circle.hold(circle.accepted, 6)
    assert circle.kept_by(beside) == (0, 0)
    assert circle.kept_by(circle.posts[3]) == (1, 0)


def test_of_proofs_only_so_many_are_remembered(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MAX_KEEPERS", 2)
    for number in range(9):
        circle.home.store.proofs.note(circle.bob.account, cid_of(b"%d" % number), circle.posts[0].cid, number, True)
    assert [each.at_ms for each in circle.home.store.proofs.of(circle.bob.account)] == [8, 7, 6, 5]


def test_a_page_of_records_is_answered_as_a_slow_look_at_everything_answers(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    random = Random(9)
    people = [Person(f"{seed}", seed=seed, clock_ms=clock) for seed in range(90, 98)]
    phone, added = known_bob.add_device()
    written = [known_bob.write(Post(f"{number}"), by=random.choice((None, phone))) for number in range(30)]
    ahead = [known_bob.write(Post(f"{number}"), by=random.choice((None, phone))) for number in range(8)]  # not here
    asked, followed = set(random.sample(range(8), 3)), set(random.sample(range(8), 2))
    ingest(home.store, added, *arrivals_of(written))
    newest = {each.entry.header.key.bytes: each.seq for each in written}
    ingest(home.store, *(known_bob.write(Keeper(people[index].account)).arrival for index in asked))
    home.publish(*(Follow(people[index].account) for index in followed))
    heads: dict[int, dict[bytes, int]] = {}
    listed: dict[int, set[Cid]] = {}
    shown: dict[int, Written] = {}
    proven: set[int] = set()
    for index, person in enumerate(people):
        if random.random() < 0.2:
            continue
        tops = [*random.sample(written, 2), *(random.sample(ahead, 1) if random.random() < 0.4 else [])]
        random.shuffle(tops)
        tops = [
            top
            for at, top in enumerate(tops)
            if all(top.entry.header.key != other.entry.header.key for other in tops[:at])
        ]
        withheld = random.sample(written, random.randrange(4))
        claim = receipt(
            known_bob.account, *map(head_of, tops), withheld=tuple(Withheld(each.cid, "") for each in withheld)
        )
        assert take(home.store, say(person, claim, ops=(person.incept,))) == [Took.STORED]
        heads[index] = {top.entry.header.key.bytes: top.seq for top in tops}
        listed[index] = {each.cid for each in withheld}
        if random.random() < 0.6:
            shown[index] = random.choice(written)
            home.store.proofs.note(
                known_bob.account, person.account, shown[index].cid, START_MS - random.randrange(9) * DAY_MS, True
            )
            held = home.store.proofs.of(known_bob.account)
            if any(each.keeper == person.account and each.at_ms >= START_MS - PROVEN_MS for each in held):
                proven.add(index)
    with home.store.snapshot() as snapshot:
        for each in written:
            record = snapshot.record(each.cid)
            assert isinstance(record, Record)
            holding = {
                index
                for index, tops_of in heads.items()
                if tops_of.get(each.entry.header.key.bytes, -1) >= each.seq and each.cid not in listed[index]
            }
            key = each.entry.header.key.bytes
            surely = {
                index
                for index in holding & shown.keys()
                if heads[index][key] <= newest[key]
                or (shown[index].entry.header.key.bytes == key and shown[index].cid not in listed[index])
            }
            counting = surely & proven & (asked | followed)
            assert snapshot.kept_by(record, START_MS) == (len(counting), len(holding) - len(counting))
