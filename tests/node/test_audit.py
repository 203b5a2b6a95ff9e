"""Audits: the verdict of a real home, from itself alone and from a network, and evidence that others check."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from tests.support.commands import await_until
from tests.support.nodes import NETWORK, config_of, hand, introduce, publish
from tests.support.people import Person, Written

from unhush.gossip.proto.statements import Prove, ToldStatement
from unhush.gossip.proto.verdicts import Word
from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import (
    NOT_HERE,
    Absent,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Receipt,
    Statement,
    Withheld,
    parse_statement,
    sign_statement,
)
from unhush.node import Node, found_account
from unhush.node.config import wall_clock_ms
from unhush.node.errors import BadEvidence, NotFound
from unhush.node.home.checking import check_file
from unhush.node.keeping.auditing import Asked, enquire_over
from unhush.node.keeping.evidence import MAX_CONTRADICTIONS
from unhush.node.keeping.evidence_file import EvidenceReport, check_evidence_file, write_evidence
from unhush.node.keeping.speaking import Speaking
from unhush.storage.arrivals import Arrival
from unhush.storage.keeping.promises import Promise
from unhush.storage.keeping.speakers import Operation
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.kinds import Delete, Keeper
from unhush.storage.schema import Table

DAY_MS = 24 * 3_600 * 1_000
RECORDS = 21
DROPPED = 13


@dataclass
class World:
    """A reader's home, an author whose log the test writes, and keepers that sign what the test says."""

    reader: Node
    author: Person
    keeper: Person
    other: Person
    written: list[Written]
    now_ms: int

    def give(self, *without: int, bodiless: tuple[int, ...] = (), upto: int = RECORDS) -> None:
        rows = [each for each in self.written[:upto] if each.seq not in without]
        hand(self.reader, [self.author.incept, *(self._row(each, bodiless) for each in rows)])

    def _row(self, written: Written, bodiless: tuple[int, ...]) -> Arrival:
        return written.without_body if written.seq in bodiless else written.arrival

    def head(self, seq: int = RECORDS - 1) -> Head:
        return Head(self.author.key, seq, self.written[seq].cid)

    def say(self, who: Person, claim: Claim, *, later_ms: int = 0) -> Statement:
        """Sign it, and let the reader hear it."""
        time_ms = self.now_ms - 60_000 + later_ms
        said = sign_statement(
            who.device.key, who.account, claim, time=time_ms, expires=time_ms + DAY_MS, network=NETWORK
        )
        ops = (Operation(who.inception.entry.block, who.inception.body),)
        assert self.reader._store.statements.take([SignedStatement(said.block, ops)], self.now_ms) == [Took.STORED]
        return said

    def heads(self, seq: int = RECORDS - 1) -> Statement:
        return self.say(self.author, Heads((self.head(seq),), bytes(32)))

    def receipt(self, *withheld: int, seq: int = RECORDS - 1, later_ms: int = 0) -> Statement:
        listed = tuple(Withheld(self.written[each].cid, "order of a court") for each in withheld)
        claim = Receipt(self.author.account, (self.head(seq),), listed, bytes(32), MediaPolicy.NONE)
        return self.say(self.keeper, claim, later_ms=later_ms)

    def absent(self, under: Statement | None, seq: int = DROPPED, reason: str = "unknown") -> Statement:
        digest = under.digest if under is not None else None
        claim = Absent(self.author.account, self.written[seq].cid, reason, digest)
        return self.say(self.keeper, claim, later_ms=1_000)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def make(name: str) -> Node:
            config = config_of(tmp_path / name)
            if not config.home.exists():
                found_account(config, name)
            return stack.enter_context(Node.open(config))

        yield make


@pytest.fixture
def world(opened: Callable[..., Node]) -> World:
    reader, author = opened("reader"), Person("author", 71)
    reader.follow(author.account)
    return World(reader, author, Person("keeper", 72), Person("other", 73), author.posts(RECORDS), wall_clock_ms())


# --- from the home alone


def test_everything_the_author_signed_is_complete_as_of_then(world: World) -> None:
    world.give()
    said = world.heads()
    found = world.reader.audit(world.author.account)
    assert (found.verdict.word, found.verdict.as_of, found.asked) == (Word.COMPLETE, said.time, None)
    assert found.verdict.logs[0].held_to == RECORDS - 1


def test_a_newer_head_of_the_author_is_behind(world: World) -> None:
    world.give(upto=12)
    world.heads()
    found = world.reader.audit(world.author.account).verdict
    assert found.word is Word.BEHIND
    assert found.logs[0].behind.pairs == ((12, RECORDS - 1),)


def test_a_record_in_the_middle_that_nobody_explains_is_a_gap(world: World) -> None:
    world.give(DROPPED)
    world.heads()
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.logs[0].gaps.pairs) == (Word.GAP, ((DROPPED, DROPPED),))
    assert not found.accused


def test_whoever_has_no_body_is_shown_the_word_that_counts_before_any_other(world: World) -> None:
    def shown() -> tuple[Cid | None, str] | None:
        told = world.reader.show(str(world.written[DROPPED].cid)).withheld
        return (told.by, told.reason) if told is not None else None

    world.give(bodiless=(DROPPED,))
    world.absent(None, reason=NOT_HERE)  # has nothing, and keeps nothing back
    assert shown() is None
    world.receipt(DROPPED)
    assert shown() == (world.keeper.account, "order of a court")
    world.reader.follow(world.keeper.account)
    lie = Absent(world.author.account, world.written[DROPPED].cid, "so ordered by the keeper", None)
    world.say(world.other, lie, later_ms=5_000)
    assert shown() == (world.keeper.account, "order of a court"), "a stranger's word is newer, and counts less"


def test_a_body_that_a_keeper_lists_as_withheld_is_withheld_by_it(world: World) -> None:
    world.give(bodiless=(DROPPED,))
    world.heads()
    assert world.reader.audit(world.author.account).verdict.word is Word.GAP
    world.reader.follow(world.keeper.account)
    world.receipt(DROPPED)
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.by) == (Word.WITHHELD, ((world.keeper.account, "order of a court"),))


def test_a_strangers_reason_leaves_a_gap_until_its_author_asks_it_to_keep(world: World) -> None:
    """Whatever it signs: receipts cost nothing."""
    asks = world.author.write(Keeper(world.keeper.account))
    world.give(bodiless=(DROPPED,))
    world.heads()
    world.receipt(DROPPED)
    world.absent(None, reason="a stranger says so")
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.by, found.accused) == (Word.GAP, (), ())
    (said,) = found.logs[0].said
    assert (said.seq, said.who, said.reason) == (DROPPED, world.keeper.account, "a stranger says so")
    hand(world.reader, [asks.arrival])
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.by) == (Word.WITHHELD, ((world.keeper.account, "a stranger says so"),))


def test_the_word_of_its_author_counts(world: World) -> None:
    world.give(bodiless=(DROPPED,))
    world.say(world.author, Absent(world.author.account, world.written[DROPPED].cid, "I lost it"))
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.by) == (Word.WITHHELD, ((world.author.account, "I lost it"),))


def test_a_keeper_that_has_it_again_withholds_it_no_more(world: World) -> None:
    world.give(bodiless=(DROPPED,))
    world.reader.follow(world.keeper.account)
    world.absent(None, reason="the disk is full")
    assert world.reader.audit(world.author.account).verdict.word is Word.WITHHELD
    world.receipt(seq=DROPPED - 1, later_ms=2_000)  # reaches less far
    assert world.reader.audit(world.author.account).verdict.word is Word.WITHHELD
    assert world.reader.show(str(world.written[DROPPED].cid)).withheld is not None
    world.receipt(later_ms=3_000)
    assert world.reader.audit(world.author.account).verdict.word is Word.GAP
    assert world.reader.show(str(world.written[DROPPED].cid)).withheld is None


def test_strangers_hide_no_keeper_that_withholds_what_is_here_and_are_no_sources(world: World) -> None:
    world.give()
    world.heads()
    world.reader.follow(world.keeper.account)
    world.receipt(DROPPED)
    mine = world.reader.post("of somebody else")
    listed = [Withheld(each.cid, "all of it is a lie") for each in world.written]
    claim = Receipt(
        world.author.account, (world.head(),), (*listed, Withheld(mine.id, "this too")), bytes(32), MediaPolicy.NONE
    )
    world.say(world.other, claim, later_ms=5_000)
    found = world.reader.audit(world.author.account)
    assert (found.verdict.word, found.verdict.sources) == (Word.COMPLETE, 2)  # the author and the keeper
    first, *others = found.elsewhere
    assert (first.who, first.entry, first.counts) == (world.keeper.account, world.written[DROPPED].cid, True)
    assert {(each.who, each.counts) for each in others} == {(world.other.account, False)}
    assert {each.entry for each in others} == {each.cid for each in world.written}


def test_what_this_home_withholds_it_says_of_itself(world: World) -> None:
    world.give()
    world.reader.withhold(world.written[DROPPED].cid, "not in this house")
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.by) == (Word.WITHHELD, ((None, "not in this house"),))


def test_what_its_author_took_back_is_not_missing(world: World) -> None:
    delete = world.author.write(Delete(world.written[DROPPED].cid))
    world.give(bodiless=(DROPPED,))
    hand(world.reader, [delete.arrival])
    assert world.reader.audit(world.author.account).verdict.word is Word.COMPLETE


def test_a_keeper_that_tells_of_more_moves_no_verdict(world: World) -> None:
    world.give(upto=12)
    world.receipt()
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.rumours[0].head.seq) == (Word.COMPLETE, RECORDS - 1)


def test_an_account_of_which_nothing_is_here_is_not_judged(world: World) -> None:
    with pytest.raises(NotFound):
        world.reader.audit(world.other.account)


def test_the_own_account_is_audited_if_none_is_named(world: World) -> None:
    world.reader.post("mine")
    assert world.reader.audit().verdict.word is Word.COMPLETE


# --- whom evidence names


def test_a_keeper_that_says_both_is_named_with_evidence_that_anybody_can_check(world: World, tmp_path: Path) -> None:
    world.give(DROPPED)
    world.heads()
    world.absent(world.receipt(), reason="order of a court")
    found = world.reader.audit(world.author.account)
    assert found.verdict.word is Word.GAP  # its word explains nothing any more
    (accused,) = found.verdict.accused
    assert (accused.keeper, accused.seq) == (world.keeper.account, DROPPED)

    file = tmp_path / "evidence"
    written = write_evidence(file, found.evidence())
    assert file.stat().st_size == written
    report = check_file(file)
    assert isinstance(report, EvidenceReport)
    assert report.to_json()["accused"][0]["keeper"] == str(world.keeper.account)
    assert str(world.keeper.account) in report.sentence()
    assert len(report.remarks()) >= 3


def test_a_receipt_that_took_the_place_of_the_one_it_denied_does_not_wash_a_keeper_clean(world: World) -> None:
    world.give(DROPPED)
    world.absent(world.receipt())
    world.receipt(seq=RECORDS - 2, later_ms=5_000)
    assert [each.keeper for each in world.reader.audit(world.author.account).verdict.accused] == [world.keeper.account]


def test_an_absent_that_names_no_receipt_or_another_names_nobody(world: World) -> None:
    world.give(DROPPED)
    world.receipt(seq=5)
    world.absent(world.receipt(DROPPED, later_ms=500))
    assert not world.reader.audit(world.author.account).verdict.accused


def test_a_record_that_its_author_took_back_names_nobody(world: World) -> None:
    delete = world.author.write(Delete(world.written[DROPPED].cid))
    world.give()
    world.absent(world.receipt())
    assert world.reader.audit(world.author.account).verdict.accused
    hand(world.reader, [delete.arrival])
    assert not world.reader.audit(world.author.account).verdict.accused


def test_a_record_that_a_revoke_made_void_names_nobody(world: World) -> None:
    world.give()
    world.absent(world.receipt())
    assert world.reader.audit(world.author.account).verdict.accused
    hand(world.reader, [world.author.revoke(world.author.key, world.written[DROPPED - 1].entry)])
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.accused) == (Word.COMPLETE, ())


def test_an_author_who_gives_a_record_to_nobody_frames_no_one(world: World) -> None:
    """The head is signed, the keeper asked for it, and it says that it has it not."""
    world.give(RECORDS - 1)
    world.heads()
    world.absent(world.receipt(seq=RECORDS - 2), seq=RECORDS - 1)
    found = world.reader.audit(world.author.account).verdict
    assert (found.word, found.accused) == (Word.BEHIND, ())


def test_strangers_who_contradict_themselves_hide_no_keeper_that_counts(world: World) -> None:
    """Newer, more, and shorter than what names the keeper; one of them says it of very many entries."""
    world.give(DROPPED)
    world.reader.follow(world.keeper.account)
    world.absent(world.receipt())
    of = world.author.account
    for number in range(MAX_CONTRADICTIONS + 4):
        stranger = Person(f"stranger {number}", 200 + number)
        claim = Receipt(of, (world.head(RECORDS - 1),), (), bytes(32), MediaPolicy.NONE)
        said = world.say(stranger, claim, later_ms=2_000)
        for back in range(2, 7 if number == 0 else 3):
            entry = world.written[RECORDS - back].cid
            world.say(stranger, Absent(of, entry, "unknown", said.digest), later_ms=3_000)
    found = world.reader.audit(of)
    assert found.verdict.accused[0].keeper == world.keeper.account
    assert len({each.keeper for each in found.verdict.accused}) > MAX_CONTRADICTIONS // 2
    assert world.keeper.account in {each.keeper for each in found.evidence().contradictions}


def test_a_changed_file_is_refused_wherever_it_is_changed(world: World, tmp_path: Path) -> None:
    world.give(DROPPED)
    world.absent(world.receipt())
    file, rng = tmp_path / "evidence", Random(13)
    write_evidence(file, world.reader.audit(world.author.account).evidence())
    data = file.read_bytes()
    for _ in range(300):
        at = rng.randrange(len(data))
        file.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
        with pytest.raises(BadEvidence):
            check_evidence_file(file)


# --- honest keepers


PROMISE = Promise(10_000_000, MediaPolicy.NONE, 0)


class Deaf:
    """A network that nobody is on."""

    def listen(self) -> tuple[str, ...]:
        return ()

    def said(self, items: object) -> None:
        pass

    def promised(self) -> None:
        pass


def answers_to(spoken: Speaking, of: Cid, entry: Cid) -> list[ToldStatement]:
    given: list[list[ToldStatement]] = []
    assert spoken.prove(Prove(of, entry, bytes(16)), lambda items: given.append(list(items)))
    await_until(lambda: given, "an answer")
    return given[0]


def damage(node: Node, cid: Cid) -> None:
    """Turn a bit of a record on the disk, past everything that looks after it."""

    def wound(txn: object) -> None:
        aid = txn.get(Table.IDS, cid.digest)  # type: ignore[attr-defined]
        row = bytearray(txn.get(Table.JOURNAL, aid))  # type: ignore[attr-defined]
        row[-5] ^= 1
        txn.put(Table.JOURNAL, aid, bytes(row))  # type: ignore[attr-defined]

    node._store._environment.run(wound)


def test_an_honest_keeper_whose_disk_loses_what_it_promised_is_never_named(
    world: World, opened: Callable[..., Node], tmp_path: Path
) -> None:
    """What it signs goes to somebody who has everything, keeps everything, and looks for contradictions."""
    keeper = opened("honest")
    keeper._store.promises.keep(world.author.account, PROMISE)
    rows = [each.arrival for each in world.written]
    hand(keeper, [world.author.incept, *rows[:15]])
    world.give()
    spoken = Speaking(keeper._store, keeper.config, keeper._keys)
    spoken.start(Deaf())
    try:
        said: list[ToldStatement] = []

        def ask(seq: int) -> list[Claim]:
            given = answers_to(spoken, world.author.account, world.written[seq].cid)
            said.extend(given)
            return [parse_statement(each.block).claim for each in given]

        def newest() -> Statement | None:
            with keeper._store.snapshot() as snapshot:
                return next(iter(snapshot.receipts_of(world.author.account)), None)

        await_until(lambda: newest() is not None, "a receipt")
        assert ask(18) == [Absent(world.author.account, world.written[18].cid, NOT_HERE)]  # never here
        hand(keeper, rows[15:])
        await_until(lambda: (n := newest()) and n.claim.heads[0].seq == RECORDS - 1, "a receipt of all")  # type: ignore[union-attr]
        promised = newest()
        assert promised is not None
        damage(keeper, world.written[DROPPED].cid)
        assert ask(DROPPED) == [Absent(world.author.account, world.written[DROPPED].cid, NOT_HERE)]
        # What is on the disk, looked at again.
        await_until(lambda: (n := newest()) and n.claim.heads[0].seq == DROPPED - 1, "a smaller receipt")  # type: ignore[union-attr]
        hand(keeper, [world.author.write(Delete(world.written[2].cid)).arrival])
        ask(2)
        keeper.withhold(world.written[4].cid, "order of a court")
        ask(4)
        items = [SignedStatement(promised.block), *(SignedStatement(each.block) for each in said)]
        me = keeper.account()
        with keeper._store.snapshot() as snapshot:
            ops = tuple(Operation(each.block, each.body or b"") for each in snapshot.operations(me))
        # In the order in which an enemy would wish: the great promise last as long as that is possible.
        for each in items:
            world.reader._store.statements.take([each._replace(ops=ops)], wall_clock_ms())
            assert not world.reader.audit(world.author.account).verdict.accused
    finally:
        spoken.stop()


def test_an_absent_of_a_record_that_comes_while_it_is_said_names_no_receipt(
    world: World, opened: Callable[..., Node]
) -> None:
    """It looked, the record came, and its newest receipt covers the record."""
    keeper, of = opened("honest"), world.author.account
    keeper._store.promises.keep(of, PROMISE)
    hand(keeper, [world.author.incept, *(each.arrival for each in world.written)])
    spoken = Speaking(keeper._store, keeper.config, keeper._keys)
    spoken._voice.find_speaker()
    assert spoken._receipting.give(of) is not None
    (said,) = spoken._refuse(Prove(of, world.written[DROPPED].cid, bytes(16)), None, NOT_HERE)
    assert parse_statement(said.block).claim == Absent(of, world.written[DROPPED].cid, NOT_HERE)


# --- with a network


def test_a_running_node_asks_peers_and_keepers_and_another_process_can_wait_for_it(
    opened: Callable[..., Node], tmp_path: Path
) -> None:
    author, keeper, reader = opened("author"), opened("keeper"), opened("reader")
    of = author.account()
    publish(author, [f"post {number}" for number in range(20)])
    keeper._store.promises.keep(of, PROMISE)
    reader.follow(of)
    for node in (author, keeper, reader):
        node.start_network()
    introduce(keeper, author)
    introduce(reader, keeper)

    def is_kept() -> bool:
        with reader._store.snapshot() as snapshot:
            return bool(snapshot.receipts_of(of) and snapshot.heads_told(of) and snapshot.cards(keeper.account()))

    await_until(is_kept, "statements at the reader", within_s=40)
    await_until(lambda: reader.audit(of, 10).verdict.word is Word.COMPLETE, "everything at the reader", within_s=40)
    heard: list[Asked] = []
    found = reader.audit(of, 20, heard.append)
    assert found.asked is not None
    assert found.asked.is_done
    assert (found.asked.answered >= 1, found.asked.keepers, found.asked.keepers_answered) == (True, 1, 1)
    assert heard[-1] == found.asked
    assert found.verdict.sources == 2  # a network and the author; the keeper is a stranger
    look = enquire_over(reader.config.home, of, (cid_of(b"not here"),))
    assert look is not None
    await_until(lambda: look().is_done, "the answer over the control port")
    assert look().answered >= 1
    reader.stop_network()
    assert look().is_done  # whoever waits is not kept waiting
    assert enquire_over(reader.config.home, of, ()) is None
    assert reader.audit(of).asked is None


def test_an_audit_does_not_wait_longer_than_it_was_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.give()
    never = Asked(3, 1, 1, 0, 0, is_done=False)
    monkeypatch.setattr("unhush.node.keeping.auditing.enquire_over", lambda *_: lambda: never)
    began = time.monotonic()
    found = world.reader.audit(world.author.account, 0.3)
    assert time.monotonic() - began < 5
    assert found.asked == never
    assert found.verdict.word is Word.COMPLETE
