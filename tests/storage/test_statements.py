"""Statements held: the newest of each, few of each sort, and only from whom may speak, judged when they are read."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.support.people import START_MS, Clock, Home, Person, id_of, ingest, open_home
from tests.support.saying import DAY_MS, absent, card, heads, receipt, say, take

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import encode
from unhush.identity.statement import Absent, Card, Possession, digest_operations, parse_statement
from unhush.storage.backup import read_backup
from unhush.storage.compacting import compact
from unhush.storage.keeping import clearing, cursors, offered
from unhush.storage.keeping.rows import Type
from unhush.storage.keeping.speakers import MAX_OPERATIONS, Operation
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.kinds import Follow, Keeper
from unhush.storage.schema import Table
from unhush.storage.store import Store

STORED, KNOWN, OLDER = Took.STORED, Took.KNOWN, Took.OLDER


@pytest.fixture
def cleo(clock: Clock) -> Person:
    """A keeper whom nobody here holds anything of."""
    return Person("Cleo", seed=3, clock_ms=clock)


def blocks_since(store: Store, n: int = 0) -> list[bytes]:
    return [each.block for each in store.statements.since(n, 1_000)[0]]


def counted(store: Store) -> int:
    """What all rows take, counted anew."""
    with store._environment.read() as txn:
        size = sum(len(key) + len(row) for key, row in txn.scan(Table.STATEMENTS))
        return size + sum(len(row) for _, row in txn.scan(Table.SPEAKERS))


def noted(store: Store) -> int:
    with store._environment.read() as txn:
        return int.from_bytes(txn.get(Table.META, b"statement-bytes") or b"", "big")


# -- the newest of each


def test_the_newest_of_each_is_kept_whichever_comes_first(home: Home, known_bob: Person) -> None:
    old, new = (say(known_bob, card(number), time=START_MS + number) for number in (1, 2))
    assert take(home.store, old, old) == [STORED, KNOWN]
    assert take(home.store, new) == [STORED]
    assert take(home.store, old, new) == [OLDER, KNOWN]
    assert blocks_since(home.store) == [new.block]


def test_of_two_with_one_time_the_higher_digest_counts_everywhere(home: Home, known_bob: Person) -> None:
    low, high = sorted(
        (say(known_bob, card(number)) for number in (1, 2)), key=lambda each: parse_statement(each.block).digest
    )
    assert take(home.store, high, low) == [STORED, OLDER]
    assert take(home.store, high) == [KNOWN]
    assert blocks_since(home.store) == [high.block]


def test_types_devices_and_subjects_do_not_displace_each_other(home: Home, known_bob: Person, clock: Clock) -> None:
    phone, added = known_bob.add_device()
    dan = Person("Dan", seed=4, clock_ms=clock)
    ingest(home.store, added, dan.incept)
    said = [
        say(known_bob, card()),
        say(known_bob, card(), by=phone),
        say(known_bob, heads()),
        say(known_bob, receipt(home.person.account)),
        say(known_bob, receipt(dan.account)),
        say(known_bob, absent(dan.account, b"one")),
        say(known_bob, absent(dan.account, b"two")),
    ]
    assert take(home.store, *said) == [STORED] * len(said)
    assert blocks_since(home.store) == [each.block for each in said]


def test_about_an_account_there_are_its_cards_and_heads_and_what_others_say_of_it(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    dan = Person("Dan", seed=4, clock_ms=clock)
    ingest(home.store, dan.incept)
    of_bob = [
        say(known_bob, card()),
        say(known_bob, heads()),
        say(dan, receipt(known_bob.account)),
        say(dan, absent(known_bob.account)),
    ]
    others = [say(dan, card()), say(known_bob, receipt(dan.account))]
    take(home.store, *others, *of_bob)
    assert [each.block for each in home.store.statements.about(known_bob.account)] == [each.block for each in of_bob]
    with home.store.snapshot() as snapshot:
        found = (snapshot.cards, snapshot.heads_told, snapshot.receipts_of, snapshot.absents_of)
        assert [[each.block for each in ask(known_bob.account)] for ask in found] == [[each.block] for each in of_bob]


# -- time


def test_what_is_ahead_of_our_clock_or_has_ended_is_not_kept_but_for_cards(home: Home, known_bob: Person) -> None:
    ahead = offered.MAX_AHEAD_MS
    assert take(home.store, say(known_bob, heads(), time=START_MS + ahead + 1)) == [Took.EARLY]
    assert take(home.store, say(known_bob, heads(), time=START_MS + ahead)) == [STORED]
    ended = START_MS - 8 * DAY_MS
    assert take(home.store, say(known_bob, receipt(home.person.account), time=ended)) == [Took.EXPIRED]
    assert take(home.store, say(known_bob, card(), time=ended)) == [STORED]


def test_what_ends_here_is_said_no_more_and_dropped_and_a_card_is_tried_last(
    home: Home, known_bob: Person, clock: Clock
) -> None:
    phone, added = known_bob.add_device()
    ingest(home.store, added)
    short = say(known_bob, card(1), term_ms=DAY_MS)
    take(
        home.store,
        say(known_bob, heads(), term_ms=DAY_MS),
        say(known_bob, receipt(home.person.account), term_ms=DAY_MS),
        short,
    )
    clock.advance(DAY_MS)
    long = say(known_bob, card(2), by=phone, time=START_MS - DAY_MS, term_ms=9 * DAY_MS)
    take(home.store, long, now_ms=clock())

    with home.store.snapshot() as snapshot:
        assert [each.block for each in snapshot.cards(known_bob.account)] == [long.block, short.block]
        assert snapshot.heads_told(known_bob.account) == snapshot.receipts_of(home.person.account) == []
    assert [each.block for each in home.store.statements.about(known_bob.account)] == [long.block, short.block]
    assert sorted(blocks_since(home.store)) == sorted([short.block, long.block])
    with home.store._environment.read() as txn:
        assert txn.count(Table.STATEMENTS) == txn.count(Table.STATEMENT_LOG) == 2
    assert noted(home.store) == counted(home.store)


# -- whose it is


def test_what_is_about_nobody_here_is_not_kept_unless_it_was_asked_for(home: Home, cleo: Person, clock: Clock) -> None:
    dan = Person("Dan", seed=4, clock_ms=clock)
    beside = (cleo.incept,)
    said = [say(cleo, card(), ops=beside), say(cleo, receipt(dan.account), ops=beside)]
    assert take(home.store, *said) == [Took.UNASKED] * 2
    assert take(home.store, *said, asked=frozenset((cleo.account,))) == [STORED, Took.UNASKED]
    assert take(home.store, *said, asked=frozenset((dan.account,))) == [Took.UNASKED, STORED]


def test_a_possession_and_a_type_of_a_later_version_are_nobodys_fault(home: Home, known_bob: Person) -> None:
    possession = Possession(home.person.account, cid_of(b"x"), bytes(16), bytes(32))
    fields = {
        "type": "oath",
        "account": known_bob.account,
        "key": known_bob.key.bytes,
        "time": START_MS,
        "expires": START_MS + 1,
    }
    later = SignedStatement(encode([fields, bytes(64)]))
    assert take(home.store, say(known_bob, possession), later) == [Took.UNASKED] * 2


def test_what_is_no_statement_or_bears_another_signature_is_its_senders_fault(home: Home, known_bob: Person) -> None:
    good = say(known_bob, card())
    turned = good._replace(block=good.block[:-1] + bytes([good.block[-1] ^ 1]))
    elsewhere = say(known_bob, card(), network="other")
    assert take(home.store, SignedStatement(b""), turned, elsewhere) == [Took.REJECTED] * 3
    assert blocks_since(home.store) == []


# -- who may speak


def test_a_strangers_key_speaks_by_the_operations_that_came_along(home: Home, cleo: Person) -> None:
    said = receipt(home.person.account)
    assert take(home.store, say(cleo, said)) == [Took.UNPROVEN]
    assert take(home.store, say(cleo, said, ops=(cleo.incept,))) == [STORED]
    phone, added = cleo.add_device()
    assert take(home.store, say(cleo, said, by=phone)) == [Took.UNPROVEN]
    assert take(home.store, say(cleo, said, by=phone, ops=(added,))) == [STORED]  # the inception came before
    with home.store.snapshot() as snapshot:
        assert len(snapshot.receipts_of(home.person.account)) == 2
        assert snapshot.account(cleo.account) is None
        assert snapshot.accounts() == [home.person.account]
    (first, _) = home.store.statements.since(0, 9)[0]
    assert first.ops == (Operation(cleo.incept.entry, cleo.incept.body or b""),)


def test_what_was_given_on_is_taken_by_somebody_who_knows_nobody(
    home: Home, cleo: Person, new_store: Callable[[], Store]
) -> None:
    phone, added = cleo.add_device()
    take(home.store, say(cleo, receipt(home.person.account), by=phone, ops=(cleo.incept, added)))
    other = new_store()
    ingest(other, home.person.incept)
    given = home.store.statements.about(home.person.account)
    assert take(other, *given) == [STORED]
    assert len(given[0].ops) == 2 <= MAX_OPERATIONS


def test_the_newest_device_of_an_account_that_is_held_speaks_by_what_came_along(home: Home, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    said = say(known_bob, card(), by=phone)
    assert take(home.store, said) == [Took.UNPROVEN]
    assert take(home.store, say(known_bob, card(), by=phone, ops=(added,))) == [STORED]
    ingest(home.store, added)
    assert blocks_since(home.store) == [said.block]


def test_a_device_that_is_cut_off_is_heard_no_more_and_again_when_it_is_open(home: Home, known_bob: Person) -> None:
    take(home.store, say(known_bob, card()), say(known_bob, receipt(home.person.account)))
    assert len(blocks_since(home.store)) == 2
    phone = known_bob.add_device()[0]
    ingest(home.store, known_bob.rotate(1, [phone.key.public]))

    assert blocks_since(home.store) == home.store.statements.about(known_bob.account) == []
    with home.store.snapshot() as snapshot:
        assert snapshot.cards(known_bob.account) == snapshot.receipts_of(home.person.account) == []
    assert take(home.store, say(known_bob, heads())) == [Took.UNPROVEN]

    ingest(home.store, known_bob.rotate(2, [known_bob.key]))
    assert len(blocks_since(home.store)) == 2


def test_a_stranger_that_was_cut_off_by_what_came_along_later_is_heard_no_more(home: Home, cleo: Person) -> None:
    take(home.store, say(cleo, receipt(home.person.account), ops=(cleo.incept,)))
    phone = cleo.add_device()[0]
    rotate = cleo.rotate(1, [phone.key.public])
    assert take(home.store, say(cleo, card(), ops=(cleo.incept,), by=phone), asked=frozenset((cleo.account,))) == [
        Took.UNPROVEN
    ]
    said = say(cleo, receipt(home.person.account), ops=(rotate,), by=phone)
    assert take(home.store, said) == [STORED]
    assert blocks_since(home.store) == [said.block]


def test_operations_that_lie_are_their_senders_fault(home: Home, cleo: Person, bob: Person) -> None:
    said = receipt(home.person.account)
    turned = replace_entry(cleo.incept.entry)
    _, added = cleo.add_device()
    for ops in (
        (cleo.incept._replace(entry=turned),),
        (bob.incept,),
        (cleo.incept._replace(entry=b""),),
        (cleo.incept, added._replace(entry=replace_entry(added.entry))),
        (cleo.incept,) * (MAX_OPERATIONS + 1),
    ):
        assert take(home.store, say(cleo, said, ops=ops)) == [Took.REJECTED]
    assert take(home.store, say(cleo, said, ops=(cleo.incept._replace(body=b"\xa0"),))) == [Took.UNPROVEN]


def replace_entry(entry: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


def test_work_for_strangers_is_bounded_and_nobodys_fault(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Person(f"{seed}", seed=seed, clock_ms=clock) for seed in range(50, 60)]
    size = len(many[0].incept.body or b"")
    monkeypatch.setattr(offered, "MAX_WORK_BYTES", 4 * size)
    said = [say(person, receipt(home.person.account), ops=(person.incept,)) for person in many]
    took = take(home.store, *said)
    assert set(took) == {STORED, Took.UNPROVEN}
    assert took.count(STORED) <= 4
    assert take(home.store, *said[-3:]) == [STORED] * 3


def test_operations_of_one_that_says_nothing_any_more_are_dropped(home: Home, cleo: Person, clock: Clock) -> None:
    take(home.store, say(cleo, receipt(home.person.account), ops=(cleo.incept,), term_ms=DAY_MS))
    with home.store._environment.read() as txn:
        assert txn.count(Table.SPEAKERS) == 1
    clock.advance(2 * DAY_MS)
    assert home.store.statements.sweep(clock()) == 1
    with home.store._environment.read() as txn:
        assert txn.count(Table.SPEAKERS) == txn.count(Table.STATEMENTS) == 0
    assert noted(home.store) == 0


# -- few of each, and a bounded part of the disk


def test_of_receipts_for_one_account_those_of_trusted_keepers_stay_then_the_newest(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clearing.MOST, Type.RECEIPT, 3)
    accepted, followed, *strangers = (Person(f"{seed}", seed=seed, clock_ms=clock) for seed in range(60, 66))
    home.publish(Keeper(accepted.account), Follow(followed.account))

    def receipt_of(person: Person, later_ms: int) -> SignedStatement:
        return say(person, receipt(home.person.account), time=START_MS + later_ms, ops=(person.incept,))

    assert take(home.store, receipt_of(accepted, -9), receipt_of(followed, -8)) == [STORED] * 2
    assert take(home.store, *(receipt_of(each, later) for later, each in enumerate(strangers, 1))) == [STORED] * 4
    assert take(home.store, receipt_of(strangers[0], 1)) == [Took.UNASKED]
    with home.store.snapshot() as snapshot:
        kept = {each.account for each in snapshot.receipts_of(home.person.account)}
    assert kept == {accepted.account, followed.account, strangers[-1].account}
    assert noted(home.store) == counted(home.store)


def test_all_together_take_a_bounded_part_of_the_disk_and_what_is_carried_stays_longest(
    home: Home, known_bob: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BYTES", 6_000)
    monkeypatch.setattr(clearing, "ENOUGH_BYTES", 4_000)
    mine = say(known_bob, receipt(home.person.account))
    take(home.store, mine)
    for number in range(100):
        take(home.store, say(known_bob, absent(known_bob.account, b"%d" % number), time=START_MS + number))
        assert counted(home.store) == noted(home.store) <= 6_000
    left = blocks_since(home.store)
    assert left[0] == mine.block
    assert 3 < len(left) < 30


# -- numbers


def test_whoever_asks_what_was_gained_since_gets_it_once_in_that_order(
    home: Home, known_bob: Person, tmp_path: Path, clock: Clock
) -> None:
    said = [say(known_bob, absent(known_bob.account, b"%d" % number)) for number in range(7)]
    take(home.store, *said)
    found, n = [], 0
    while len(found) < 7:
        part, n = home.store.statements.since(n, 3)
        found += part
    assert [each.block for each in found] == [each.block for each in said]
    assert home.store.statements.since(n, 3) == ([], n)
    renewed = say(known_bob, absent(known_bob.account, b"2"), time=START_MS + 1)
    take(home.store, renewed)
    assert [each.block for each in home.store.statements.since(n, 3)[0]] == [renewed.block]
    assert len(blocks_since(home.store)) == 7


def test_an_answer_has_a_bounded_size_and_goes_on_behind_it(home: Home, known_bob: Person) -> None:
    take(home.store, *(say(known_bob, absent(known_bob.account, b"%d" % number)) for number in range(5)))
    first, n = home.store.statements.since(0, 9, max_bytes=1)
    assert len(first) == 1
    assert len(home.store.statements.since(n, 9)[0]) == 4


def test_numbers_and_their_epoch_survive_a_restart_and_a_compaction(
    tmp_path: Path, clock: Clock, known_bob: Person
) -> None:
    path = tmp_path / "numbered"
    with open_home(path, clock) as store:
        ingest(store, known_bob.incept)
        take(store, say(known_bob, card()), say(known_bob, heads()))
        epoch, (_, n) = store.statements.epoch, store.statements.since(0, 9)
        take(store, say(known_bob, heads(1), time=START_MS + 1))
    compact(path / "store")
    with open_home(path, clock) as store:
        assert store.statements.epoch == epoch
        assert len(store.statements.since(n, 9)[0]) == 1
        take(store, say(known_bob, heads(2), time=START_MS + 2))
        assert [parse_statement(each.block).time for each in store.statements.since(n, 9)[0]] == [START_MS + 2]


def test_a_number_is_never_given_twice_though_the_last_was_dropped(home: Home, known_bob: Person, clock: Clock) -> None:
    take(home.store, say(known_bob, heads(), term_ms=DAY_MS))
    n = home.store.statements.since(0, 9)[1]
    clock.advance(2 * DAY_MS)
    home.store.statements.sweep(clock())
    take(home.store, say(known_bob, card(), time=clock()), now_ms=clock())
    assert len(home.store.statements.since(n, 9)[0]) == 1


def test_a_home_made_of_a_backup_counts_anew(home: Home, known_bob: Person, tmp_path: Path, clock: Clock) -> None:
    take(home.store, say(known_bob, card()))
    epoch = home.store.statements.epoch
    home.store.backup(tmp_path / "backup.tar", now_ms=clock())
    (tmp_path / "again").mkdir()
    read_backup(tmp_path / "backup.tar", tmp_path / "again", network=home.store.network)
    with open_home(tmp_path / "again", clock) as again:
        assert again.statements.epoch != epoch
        assert len(blocks_since(again)) == 1
    assert home.store.statements.epoch == epoch


def test_a_number_that_was_never_given_is_answered_from_the_beginning(home: Home, known_bob: Person) -> None:
    take(home.store, say(known_bob, card()))
    assert len(blocks_since(home.store, 1_000)) == 1


# -- cursors


def test_how_far_peers_were_read_is_remembered_of_those_asked_last(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "MAX_CURSORS", 3)
    held = home.store.statements.cursors
    for peer in ("a", "b", "c"):
        held.note(peer, bytes(8), 1)
    held.note("a", b"\x01" * 8, 7)
    held.note("d", bytes(8), 1)
    assert held.find("a") == (b"\x01" * 8, 7)
    assert held.find("b") is None
    assert held.find("d") == (bytes(8), 1)
    for epoch, n in ((b"short", 1), (bytes(8), -1)):
        with pytest.raises(ValueError, match="no number"):
            held.note("a", epoch, n)


# -- evidence


def test_a_receipt_that_an_absent_names_outlives_the_next_one(home: Home, known_bob: Person, clock: Clock) -> None:
    of = home.person.account
    first, second, third = (say(known_bob, receipt(of), time=START_MS + number, term_ms=DAY_MS) for number in range(3))
    digest = parse_statement(second.block).digest
    named = say(known_bob, Absent(of, cid_of(b"an entry"), "because", digest), time=START_MS + 1, term_ms=DAY_MS)
    assert take(home.store, first, second, named, third) == [STORED] * 4
    with home.store.snapshot() as snapshot:
        assert [each.block for each in snapshot.receipts_of(of)] == [third.block]
    assert set(blocks_since(home.store)) == {second.block, named.block, third.block}
    assert {each.block for each in home.store.statements.about(of)} == {second.block, named.block, third.block}
    assert noted(home.store) == counted(home.store)
    clock.advance(2 * DAY_MS)
    home.store.statements.sweep(clock())
    assert blocks_since(home.store) == []
    assert noted(home.store) == counted(home.store) == 0


# -- damage


def test_a_damaged_row_is_given_to_nobody(home: Home, known_bob: Person) -> None:
    take(home.store, say(known_bob, card()), say(known_bob, heads()))
    with home.store._environment.write() as txn:
        key, row = next(iter(txn.scan(Table.STATEMENTS)))
        txn.put(Table.STATEMENTS, key, row[:-70] + bytes([row[-70] ^ 1]) + row[-69:])
    assert len(blocks_since(home.store)) == len(home.store.statements.about(known_bob.account)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_rows_with_turned_bits_say_nothing_wrong_and_end_nothing(
    home: Home, known_bob: Person, cleo: Person, seed: int
) -> None:
    random = Random(seed)
    said = [
        say(known_bob, card()),
        say(known_bob, receipt(home.person.account)),
        say(cleo, receipt(home.person.account), ops=(cleo.incept,)),
    ]
    take(home.store, *said)
    with home.store._environment.write() as txn:
        for table in (Table.STATEMENTS, Table.STATEMENT_LOG, Table.SPEAKERS):
            for key, row in list(txn.scan(table)):
                at = random.randrange(len(row))
                txn.put(table, key, row[:at] + bytes([row[at] ^ 1 << random.randrange(8)]) + row[at + 1 :])
    blocks = {each.block for each in said}
    assert set(blocks_since(home.store)) <= blocks
    with home.store.snapshot() as snapshot:
        for ask in (snapshot.cards, snapshot.heads_told, snapshot.receipts_of, snapshot.absents_of):
            assert {each.block for each in ask(home.person.account)} <= blocks
    later = [
        say(person, receipt(home.person.account), time=START_MS + 9, ops=(person.incept,))
        for person in (known_bob, cleo)
    ]
    assert Took.REJECTED not in take(home.store, *later)


# -- all of it against a dictionary


def test_what_is_held_is_what_a_dictionary_holds(home: Home, clock: Clock) -> None:
    random = Random(11)
    people = [Person(f"{seed}", seed=seed, clock_ms=clock) for seed in range(70, 74)]
    known = people[:2]
    ingest(home.store, *(person.incept for person in known))
    home.publish(Follow(people[0].account))
    abouts = [home.person.account, *(person.account for person in people)]
    naive: dict[tuple[str, Cid, bytes], tuple[int, bytes, bytes, int]] = {}
    for _ in range(400):
        person, of = random.choice(people), random.choice(abouts)
        claim = random.choice(
            (
                card(random.randrange(9)),
                heads(random.randrange(9)),
                receipt(of),
                absent(of, b"%d" % random.randrange(3)),
            )
        )
        time = clock() + random.randrange(-3 * DAY_MS, DAY_MS)
        made = say(person, claim, time=time, term_ms=random.choice((DAY_MS, 3 * DAY_MS)), ops=(person.incept,))
        parsed = parse_statement(made.block)
        about = getattr(claim, "of", person.account)
        key = (claim.type + str(about), person.account, claim.subject)
        (took,) = take(home.store, made, now_ms=clock())
        if time > clock() + 600_000:
            expected = Took.EARLY
        elif parsed.expires <= clock() and not isinstance(claim, Card):
            expected = Took.EXPIRED
        elif about not in {home.person.account, *(each.account for each in known)}:
            expected = Took.UNASKED
        elif key in naive and naive[key][1] == parsed.digest:
            expected = KNOWN
        elif key in naive and naive[key][:2] > (time, parsed.digest):
            expected = OLDER
        else:
            expected = STORED
            naive[key] = (time, parsed.digest, made.block, parsed.expires)
        assert took is expected, (claim, time - clock())
        if random.random() < 0.05:
            clock.advance(DAY_MS // 4)
            # What ended may have been dropped: then an older one that lasts longer is new again.
            home.store.statements.sweep(clock())
            naive = {key: row for key, row in naive.items() if row[3] > clock() or key[0].startswith("card")}
    shown = {row[2] for key, row in naive.items() if row[3] > clock() or key[0].startswith("card")}
    assert set(blocks_since(home.store)) == shown
    assert noted(home.store) == counted(home.store)


def test_the_digest_of_operations_is_that_of_the_set_held(home: Home, known_bob: Person) -> None:
    _, added = known_bob.add_device()
    ingest(home.store, added)
    with home.store.snapshot() as snapshot:
        assert snapshot.identity_digest(known_bob.account) == digest_operations((id_of(added), known_bob.account))
        assert snapshot.identity_digest(cid_of(b"nobody")) == digest_operations(())


def test_the_heads_held_are_the_newest_entries_shown(home: Home, known_bob: Person) -> None:
    phone, added = known_bob.add_device()
    written = [known_bob.write(Follow(home.person.account), by=phone) for _ in range(3)]
    posts = known_bob.posts(4)
    ingest(home.store, added, *(each.arrival for each in (*written, *posts[:2], posts[3])))
    ingest(home.store, known_bob.revoke(phone.key.public, written[1].entry))
    with home.store.snapshot() as snapshot:
        found = {head.key: (head.seq, head.entry) for head in snapshot.heads_held(known_bob.account)}
    assert found == {known_bob.key: (3, posts[3].cid), phone.key.public: (1, written[1].cid)}
