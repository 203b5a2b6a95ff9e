"""Statements in a crowd: strangers, hostile keepers and floods displace nothing that matters."""

from random import Random

import pytest
from tests.support.people import START_MS, Clock, Home, Person, ingest
from tests.support.saying import card, receipt, say, take

from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import Op
from unhush.identity.operations import Table as DeviceTable
from unhush.identity.statement import Claim, Head, MediaPolicy, Receipt, Withheld, parse_statement
from unhush.storage.arrivals import Arrival
from unhush.storage.keeping import clearing, speakers
from unhush.storage.keeping.hearing import MAX_OTHERS
from unhush.storage.keeping.ranking import MAX_OF_ONE
from unhush.storage.keeping.rows import Type
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.keeping.voices import Voice, Voices
from unhush.storage.kinds import Follow, Keeper
from unhush.storage.schema import Table

STORED = Took.STORED
MAX_RECEIPTS = clearing.MOST[Type.RECEIPT]
LATER_MS = START_MS + 9 * 60 * 1000  # as far ahead as is believed


def head_at(key: PublicKey, seq: int = 1) -> Head:
    return Head(key, seq, cid_of(b"an entry"))


def strangers(count: int, clock: Clock, first: int = 200) -> list[Person]:
    return [Person(f"{seed}", seed=seed, clock_ms=clock) for seed in range(first, first + count)]


def by(person: Person, claim: Claim, *, time: int = START_MS) -> SignedStatement:
    return say(person, claim, time=time, ops=(person.incept,))


def large(of: Cid, key: PublicKey, count: int = 240) -> Receipt:
    """A receipt of nearly 60 KiB."""
    listed = tuple(Withheld(cid_of(b"%d" % number), "x" * 200) for number in range(count))
    return Receipt(of, (head_at(key),), listed, bytes(32), MediaPolicy.NONE)


def keepers_left(home: Home, of: Cid) -> set[Cid]:
    with home.store.snapshot() as snapshot:
        return {each.account for each in snapshot.receipts_of(of)}


def test_our_own_receipt_is_kept_however_many_strangers_say_the_same_later(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    claim = receipt(known_bob.account, head_at(known_bob.key))
    for person in strangers(MAX_RECEIPTS, clock):
        assert take(home.store, by(person, claim, time=LATER_MS)) == [STORED]
    own = say(home.person, claim, time=START_MS + 1)
    assert take(home.store, own) == [STORED]
    assert take(home.store, by(strangers(1, clock, 300)[0], claim, time=LATER_MS + 1)) == [STORED]
    left = keepers_left(home, known_bob.account)
    assert home.person.account in left
    assert len(left) == MAX_RECEIPTS
    assert own.block in {each.block for each in home.store.statements.about(known_bob.account)}


def test_another_of_our_devices_comes_before_trusted_keepers_and_this_one_before_it(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clearing.MOST, Type.RECEIPT, 2)
    of, accepted = strangers(2, clock)
    ingest(home.store, of.incept, of.write(Keeper(accepted.account)).arrival)
    phone, added = home.person.add_device()
    ingest(home.store, added)
    claim = receipt(of.account, head_at(of.key))
    assert take(home.store, by(accepted, claim, time=LATER_MS)) == [STORED]
    assert take(home.store, say(home.person, claim), say(home.person, claim, by=phone)) == [STORED, STORED]
    assert keepers_left(home, of.account) == {home.person.account}
    monkeypatch.setitem(clearing.MOST, Type.RECEIPT, 1)
    assert take(home.store, say(home.person, claim, by=phone, time=LATER_MS)) == [Took.UNASKED]


def test_a_keeper_with_as_many_devices_as_there_are_places_leaves_room_for_others(home: Home, clock: Clock) -> None:
    small, crowd = strangers(2, clock, 60)
    home.publish(Keeper(small.account), Keeper(crowd.account))
    claim = receipt(home.person.account, head_at(home.person.key))
    assert take(home.store, by(small, claim)) == [STORED]
    ingest(home.store, crowd.incept)
    for _ in range(MAX_RECEIPTS):
        device, added = crowd.add_device()
        ingest(home.store, added)
        take(home.store, say(crowd, claim, by=device, time=LATER_MS))
    with home.store.snapshot() as snapshot:
        found = [each.account for each in snapshot.receipts_of(home.person.account)]
    assert found.count(small.account) == 1
    assert found.count(crowd.account) == MAX_RECEIPTS - 1


def test_every_trusted_keeper_has_its_turn_whatever_the_others_do(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow look at the same: the first few of each keeper stay before any more of one does."""
    monkeypatch.setitem(clearing.MOST, Type.RECEIPT, 12)
    random = Random(4)
    people = strangers(3, clock, 60)
    home.publish(*(Keeper(person.account) for person in people))
    ingest(home.store, *(person.incept for person in people))
    said: list[tuple[int, Cid, SignedStatement]] = []
    for person, count in zip(people, (9, 2, 7), strict=True):
        for _ in range(count):
            device, added = person.add_device()
            ingest(home.store, added)
            time = START_MS + len(said)
            claim = receipt(home.person.account, head_at(home.person.key))
            said.append((time, person.account, say(person, claim, by=device, time=time)))
    newest = sorted(said, key=lambda each: -each[0])
    turns = [(sum(other[1] == each[1] for other in newest[:at]) // MAX_OF_ONE, at) for at, each in enumerate(newest)]
    expected = {newest[at][2].block for _, at in sorted(turns)[:12]}
    take(home.store, *(each[2] for each in random.sample(said, len(said))))
    with home.store.snapshot() as snapshot:
        assert {each.block for each in snapshot.receipts_of(home.person.account)} == expected


def test_a_flood_of_large_receipts_makes_no_room_by_what_is_trusted(
    home: Home, known_bob: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BYTES", 300_000)
    monkeypatch.setattr(clearing, "ENOUGH_BYTES", 200_000)
    accepted, *others = strangers(16, clock)
    home.publish(Keeper(accepted.account), Follow(known_bob.account))
    mine = receipt(home.person.account, head_at(home.person.key))
    own = say(home.person, receipt(known_bob.account, head_at(known_bob.key)))
    assert take(home.store, by(accepted, mine), say(known_bob, card()), own) == [STORED] * 3
    for person in others:
        take(home.store, by(person, large(known_bob.account, known_bob.key), time=LATER_MS))
    assert keepers_left(home, home.person.account) == {accepted.account}
    assert home.person.account in keepers_left(home, known_bob.account)
    with home.store.snapshot() as snapshot:
        assert len(snapshot.cards(known_bob.account)) == 1
    assert len(keepers_left(home, known_bob.account)) > 2  # there was room for some


def test_strangers_together_take_a_bounded_part_for_one_account(home: Home, known_bob: Person, clock: Clock) -> None:
    accepted, *others = strangers(14, clock)
    ingest(home.store, known_bob.write(Keeper(accepted.account)).arrival)
    claim = large(known_bob.account, known_bob.key)
    assert take(home.store, by(accepted, claim)) == [STORED]
    for number, person in enumerate(others):
        assert take(home.store, by(person, claim, time=START_MS + number + 1)) == [STORED]
    left = keepers_left(home, known_bob.account)
    size = clearing.MAX_OTHERS_BYTES
    assert left == {accepted.account, *(each.account for each in others[-(size // 59_300) :])}


def test_operations_that_came_along_push_nothing_else_out(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are dropped with what their account said, before anything that matters more."""
    monkeypatch.setattr(clearing, "MAX_BYTES", 400_000)
    monkeypatch.setattr(clearing, "ENOUGH_BYTES", 300_000)
    accepted, *others = strangers(14, clock)
    home.publish(Keeper(accepted.account))
    claim = receipt(home.person.account, head_at(home.person.key))
    assert take(home.store, by(accepted, claim)) == [STORED]
    for person in others:
        take(home.store, say(person, claim, time=LATER_MS, ops=(person.incept, *tables_of(person, 2))))
    left = keepers_left(home, home.person.account)
    assert accepted.account in left
    assert len(left) > 3
    with home.store._environment.read() as txn:
        speaking = {key[:32] for key, _ in txn.scan(Table.SPEAKERS)}
    assert speaking == {account.digest for account in left}


def test_operations_of_those_whose_place_was_taken_go_before_any_statement(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clearing.MOST, Type.RECEIPT, 2)
    monkeypatch.setattr(clearing, "MAX_BYTES", 80_000)
    monkeypatch.setattr(clearing, "ENOUGH_BYTES", 60_000)
    bystander, *others = strangers(9, clock)
    assert take(home.store, by(bystander, card()), asked=frozenset((bystander.account,))) == [STORED]
    claim = receipt(home.person.account, head_at(home.person.key))
    for number, person in enumerate(others):
        said = say(person, claim, time=START_MS + number, ops=(person.incept, *tables_of(person, 2)))
        assert take(home.store, said) == [STORED]
    assert keepers_left(home, home.person.account) == {each.account for each in others[-2:]}
    with home.store.snapshot() as snapshot:
        assert len(snapshot.cards(bystander.account)) == 1


def tables_of(person: Person, count: int) -> list[Arrival]:
    keys = [SigningKey(number.to_bytes(32, "big")).public for number in range(1, 255)]
    return [person.rotate(generation, [person.key, *keys]) for generation in range(1, count + 1)]


def test_who_speaks_of_many_gives_way_first(home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loud one came last, and is more than its share; the quiet ones stay."""
    monkeypatch.setattr(clearing, "MAX_BYTES", 60_000)
    monkeypatch.setattr(clearing, "ENOUGH_BYTES", 50_000)
    monkeypatch.setattr(clearing, "MAX_SPEAKER_BYTES", 10_000)
    loud, *quiet = strangers(9, clock)
    abouts = strangers(30, clock, 400)
    ingest(home.store, *(person.incept for person in abouts))
    for person, of in zip(quiet, abouts, strict=False):
        assert take(home.store, by(person, large(of.account, of.key, 2))) == [STORED]
    for of in abouts:
        take(home.store, by(loud, large(of.account, of.key, 10), time=LATER_MS))
    speaking = [keepers_left(home, of.account) for of in abouts]
    for person, found in zip(quiet, speaking, strict=False):
        assert person.account in found
    assert sum(loud.account in found for found in speaking) * 2_500 < 60_000


def test_of_strangers_few_are_read_where_keepers_are_counted_and_of_trusted_all(home: Home, clock: Clock) -> None:
    accepted, *others = strangers(MAX_OTHERS + 8, clock)
    (asks,) = home.publish(Keeper(accepted.account))
    record_head = Head(home.person.key, asks.entry.header.seq, asks.cid)
    assert take(home.store, by(accepted, receipt(home.person.account, record_head))) == [STORED]
    for person in others:
        assert take(home.store, by(person, receipt(home.person.account, record_head), time=LATER_MS)) == [STORED]
    home.store.proofs.note(home.person.account, accepted.account, asks.cid, START_MS, True)
    with home.store.snapshot() as snapshot:
        assert snapshot.kept_by(asks, START_MS) == (1, MAX_OTHERS)
        assert len(snapshot.receipts_of(home.person.account)) == len(others) + 1


def test_voices_remembered_are_bounded_by_their_keys_and_those_asked_for_last_stay() -> None:
    made: list[bytes] = []

    def ask(voices: Voices, number: int, keys: int) -> None:
        open_keys = frozenset(SigningKey((each + 1).to_bytes(32, "big")).public for each in range(keys))
        digest = b"%d" % number

        def make() -> Voice | None:
            made.append(digest)
            return Voice(open_keys, (), (), {}) if keys else None

        found = voices.find(cid_of(b"somebody"), digest, make)
        assert (found.open if found is not None else frozenset()) == open_keys

    voices = Voices(max_keys=10)
    for number, keys in ((1, 3), (2, 3), (1, 3), (3, 2), (4, 0), (1, 3), (2, 3), (5, 20), (5, 20)):
        ask(voices, number, keys)
    assert made == [b"1", b"2", b"3", b"4", b"2", b"5", b"5"]
    assert len(voices) == 0  # one beyond the bound is not kept


def test_operations_of_a_speaker_are_parsed_once_in_a_process(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person,) = strangers(1, clock)
    phone, added = person.add_device()
    claim = receipt(home.person.account, head_at(home.person.key))
    assert take(home.store, by(person, claim)) == [STORED]
    assert take(home.store, say(person, claim, by=phone, ops=(person.incept, added))) == [STORED]
    parsed: list[bytes] = []
    parse = speakers._parse

    def counting(row: bytes) -> DeviceTable | Op | None:
        parsed.append(row)
        return parse(row)

    monkeypatch.setattr(speakers, "_parse", counting)
    monkeypatch.setattr(speakers, "_voices", Voices())
    first = home.store.statements.about(home.person.account)
    before = len(parsed)
    assert before == 2
    assert home.store.statements.about(home.person.account) == first
    assert keepers_left(home, home.person.account) == {person.account}
    assert len(parsed) == before
    # What came later counts at once.
    tablet = person.add_device()[0]
    renewed = say(person, claim, by=tablet, ops=(person.rotate(1, [tablet.key.public]),))
    assert take(home.store, renewed) == [STORED]
    with home.store.snapshot() as snapshot:
        assert [each.digest for each in snapshot.receipts_of(home.person.account)] == [
            parse_statement(renewed.block).digest
        ]
