"""Verdicts: one word for what is held, held against a rule that looks at one number after the other."""

from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unhush.gossip.proto.ranges import Ranges
from unhush.gossip.proto.verdicts import (
    MAX_LISTED,
    Bodiless,
    HeldLog,
    Known,
    Lack,
    Missing,
    Origin,
    Refusal,
    Told,
    Verdict,
    Word,
    judge,
)
from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import PublicKey
from unhush.identity.operations import NOTHING, OPEN, Cut
from unhush.identity.statement import Head

ACCOUNT = cid_of(b"an account")
KEEPER = cid_of(b"a keeper")
OTHER = cid_of(b"another keeper")
STRANGER = cid_of(b"a stranger")
KEY = PublicKey(b"\x01" * 32)
KEEPERS_KEY = PublicKey(b"\x02" * 32)
NOW = 1_900_000_000_000


def entry(seq: int) -> Cid:
    return cid_of(b"%d" % seq)


def head(seq: int, key: PublicKey = KEY) -> Head:
    return Head(key, seq, entry(seq))


def told(seq: int, origin: Origin = Origin.AUTHOR, *, time: int = NOW - 1_000, key: PublicKey = KEY) -> Told:
    return Told(head(seq, key), origin, "somebody", time)


def refusal(seq: int, reason: str = "order of a court", *, who: Cid = KEEPER, time: int = NOW) -> Refusal:
    return Refusal(who, KEEPERS_KEY, entry(seq), reason, time, who != STRANGER)


def held(*seqs: int, cut: Cut = OPEN, bodiless: tuple[Bodiless, ...] = (), let_go: Ranges | None = None) -> HeldLog:
    tip = head(max(seqs)) if seqs else None
    named = {seq - 1: entry(seq - 1) for seq in seqs if seq and seq - 1 not in seqs}
    return HeldLog(KEY, cut, ranges(seqs), tip, named, bodiless, let_go or Ranges())


def ranges(seqs: tuple[int, ...]) -> Ranges:
    return Ranges.of((seq, seq) for seq in sorted(seqs))


def numbers(found: Ranges) -> set[int]:
    return {seq for low, high in found for seq in range(low, high + 1)}


def verdict(log: HeldLog, *told: Told, refusals: tuple[Refusal, ...] = ()) -> Verdict:
    return judge(Known(ACCOUNT, (log,), told, refusals), NOW)


# -- the four words


def test_unbroken_up_to_what_the_author_told_is_complete_as_of_then() -> None:
    found = verdict(held(*range(21)), told(20, time=NOW - 60_000))
    assert (found.word, found.as_of) == (Word.COMPLETE, NOW - 60_000)


def test_a_newer_head_of_the_author_is_behind() -> None:
    found = verdict(held(*range(13)), told(20))
    assert found.word is Word.BEHIND
    assert numbers(found.logs[0].behind) == set(range(13, 21))
    assert not found.logs[0].gaps


def test_what_is_missing_below_and_nobody_explains_is_a_gap() -> None:
    found = verdict(held(*range(13), *range(14, 21)), told(20))
    assert found.word is Word.GAP
    assert numbers(found.logs[0].gaps) == {13}


def test_a_missing_entry_that_a_carrier_refuses_with_a_reason_is_withheld() -> None:
    found = verdict(held(*range(13), *range(14, 21)), told(20), refusals=(refusal(13),))
    assert found.word is Word.WITHHELD
    assert found.logs[0].withheld == (Missing(13, entry(13), KEEPER, "order of a court"),)
    assert found.by == ((KEEPER, "order of a court"),)


def test_a_missing_body_that_a_carrier_refuses_with_a_reason_is_withheld() -> None:
    lacking = (Bodiless(13, entry(13), Lack.UNKNOWN),)
    assert verdict(held(*range(21), bodiless=lacking), told(20), refusals=(refusal(13),)).word is Word.WITHHELD
    assert verdict(held(*range(21), bodiless=lacking), told(20)).word is Word.GAP


def test_what_this_node_does_without_it_withholds_itself() -> None:
    found = verdict(held(*range(21), bodiless=(Bodiless(13, entry(13), Lack.HERE, "not in this house"),)), told(20))
    assert found.word is Word.WITHHELD
    assert found.by == ((None, "not in this house"),)


def test_a_body_that_its_author_took_back_is_not_missing() -> None:
    assert verdict(held(*range(21), bodiless=(Bodiless(13, entry(13), Lack.FINE),)), told(20)).word is Word.COMPLETE


def test_a_strangers_reason_leaves_a_gap_and_stands_beside_it() -> None:
    lacking = (Bodiless(5, entry(5), Lack.UNKNOWN),)
    said = (
        refusal(5, "first", who=STRANGER, time=NOW - 2),
        refusal(5, "second", who=STRANGER, time=NOW - 1),
        refusal(13, "third", who=STRANGER),
        refusal(2, "of one that is here", who=STRANGER),
    )
    found = verdict(held(*range(13), *range(14, 21), bodiless=lacking), told(20), refusals=said)
    (log,) = found.logs
    assert (found.word, numbers(log.gaps), log.withheld, found.by) == (Word.GAP, {5, 13}, (), ())
    assert log.said == (Missing(5, entry(5), STRANGER, "second"), Missing(13, entry(13), STRANGER, "third"))


def test_a_strangers_reason_for_the_newest_head_leaves_it_behind() -> None:
    found = verdict(held(*range(20)), told(20), refusals=(refusal(20, who=STRANGER),))
    assert (found.word, [each.seq for each in found.logs[0].said]) == (Word.BEHIND, [20])


def test_whose_word_counts_explains_what_a_stranger_speaks_of_later() -> None:
    said = (refusal(2, "a court", time=NOW - 9), refusal(2, "nonsense", who=STRANGER, time=NOW))
    found = verdict(held(0, 1, 3), told(3), refusals=said)
    assert (found.word, found.by, found.logs[0].said) == (Word.WITHHELD, ((KEEPER, "a court"),), ())


@pytest.mark.parametrize("reason", ["", "unknown"])
def test_a_carrier_that_only_has_nothing_withholds_nothing(reason: str) -> None:
    assert verdict(held(0, 1, 3), told(3), refusals=(refusal(2, reason),)).word is Word.GAP


@pytest.mark.parametrize("origin", [Origin.KEEPER, Origin.PEER])
def test_what_others_tell_of_heads_is_passed_on_and_moves_no_verdict(origin: Origin) -> None:
    rumour = told(2**62, origin)
    found = verdict(held(*range(21)), told(20), rumour)
    assert found.word is Word.COMPLETE
    assert found.rumours == (rumour,)


def test_a_head_that_the_author_told_and_gave_to_nobody_is_behind_and_names_nobody() -> None:
    found = verdict(held(*range(20)), told(20), told(19, Origin.KEEPER))
    assert (found.word, found.accused, found.rumours) == (Word.BEHIND, (), ())


def test_the_refused_head_of_the_author_is_withheld() -> None:
    assert verdict(held(*range(20)), told(20), refusals=(refusal(20),)).word is Word.WITHHELD


# -- devices, cuts and forks


def test_a_log_of_a_device_that_is_not_known_here_is_behind() -> None:
    other = PublicKey(b"\x03" * 32)
    found = verdict(held(0), told(0), told(4, key=other))
    assert found.word is Word.BEHIND
    assert {log.key: log.word for log in found.logs} == {KEY: Word.COMPLETE, other: Word.BEHIND}


def test_what_lies_beyond_a_cut_is_not_missing_and_what_lies_below_is() -> None:
    cut = 10, entry(10).bytes
    assert verdict(held(*range(11), cut=cut), told(20)).word is Word.COMPLETE
    assert verdict(held(*range(9), cut=cut)).word is Word.BEHIND
    assert verdict(held(cut=cut)).word is Word.BEHIND
    assert verdict(held(*range(4), *range(5, 11), cut=cut)).word is Word.GAP


def test_a_log_without_a_say_is_not_looked_at() -> None:
    for cut in (None, NOTHING):
        found = judge(Known(ACCOUNT, (HeldLog(KEY, cut),), (told(9),)), NOW)
        assert (found.word, found.logs) == (Word.COMPLETE, ())


def test_another_entry_at_a_number_that_is_held_is_a_fork_and_not_behind() -> None:
    other = Told(Head(KEY, 5, cid_of(b"the other branch")), Origin.AUTHOR, "the author", NOW)
    assert verdict(held(*range(6)), other).word is Word.COMPLETE


# -- who says what, and when


def test_the_newest_reason_counts() -> None:
    found = verdict(
        held(0, 1, 3),
        told(3),
        refusals=(refusal(2, "first", time=NOW - 2), refusal(2, "second", who=OTHER, time=NOW - 1)),
    )
    assert found.by == ((OTHER, "second"),)


def test_a_verdict_is_never_as_of_tomorrow() -> None:
    assert verdict(held(0), told(0, time=NOW + 9_000)).as_of == NOW


def test_without_a_word_of_the_author_it_is_as_of_the_newest_entry_seen() -> None:
    found = verdict(held(0, 1), told(1, Origin.ENTRY, time=NOW - 5), told(1, Origin.KEEPER, time=NOW))
    assert found.as_of == NOW - 5
    assert verdict(held()).as_of is None


def test_what_was_let_go_for_room_is_no_gap() -> None:
    found = verdict(held(*range(1_000, 1_005), let_go=Ranges.span(0, 999)), told(1_004))
    assert found.word is Word.WITHHELD
    assert found.logs[0].withheld_count == 1_000
    assert found.by == ((None, "let go to save room"),)


def test_a_verdict_lists_no_more_than_it_may() -> None:
    lacking = tuple(Bodiless(seq, entry(seq), Lack.HERE, "no") for seq in range(MAX_LISTED + 50))
    (log,) = verdict(held(*range(MAX_LISTED + 50), bodiless=lacking)).logs
    assert (len(log.withheld), log.withheld_count) == (MAX_LISTED, MAX_LISTED + 50)


# -- the same, one number after the other


class Has(Enum):
    ALL = "all"
    NO_ENTRY = "no entry"
    NO_BODY = "no body"
    TAKEN_BACK = "taken back"
    WITHHELD_HERE = "withheld here"


@dataclass(frozen=True)
class Case:
    has: tuple[Has, ...]
    told: tuple[int, ...]
    rumour: int
    refused: frozenset[int]
    shrugged: frozenset[int]
    told_of: frozenset[int]  # by strangers
    floor: int
    cut: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    seqs = st.integers(0, 11)
    return Case(
        tuple(draw(st.lists(st.sampled_from([Has.ALL, Has.ALL, *Has]), max_size=10))),
        tuple(draw(st.lists(seqs, max_size=2))),
        draw(seqs),
        draw(st.frozensets(seqs, max_size=4)),
        draw(st.frozensets(seqs, max_size=3)),
        draw(st.frozensets(seqs, max_size=4)),
        draw(st.sampled_from([0, 0, 0, 2, 5])),
        draw(st.one_of(st.none(), st.none(), seqs)),
    )


def naive(case: Case) -> Word:
    """The worst that is to be said of any number up to the highest that is known."""
    here = [seq for seq, has in enumerate(case.has) if has is not Has.NO_ENTRY]
    here = [seq for seq in here if case.cut is None or seq <= case.cut]
    ends = [seq for seq in case.told if case.cut is None or seq <= case.cut] + here
    if case.cut is not None:
        ends.append(case.cut)
    # An entry that is not here is known by its id if the one after it is here, or if somebody told of it as a head.
    heads = {seq for seq in case.told if case.cut is None or seq <= case.cut} | ({case.cut} - {None})
    named = heads | {seq - 1 for seq in here}
    said = set()
    for seq in range(max(ends, default=-1) + 1):
        has = case.has[seq] if seq in here else Has.NO_ENTRY
        if has in (Has.ALL, Has.TAKEN_BACK):
            continue
        is_refused = seq in case.refused and (has is Has.NO_BODY or seq in named)
        is_let_go = has is Has.NO_ENTRY and seq < case.floor
        if has is Has.WITHHELD_HERE or is_refused or is_let_go:
            said.add(Word.WITHHELD)
        elif here and seq <= max(here):
            said.add(Word.GAP)
        else:
            said.add(Word.BEHIND)
    return next((word for word in Word if word in said), Word.COMPLETE)


@given(case=cases())
def test_the_verdict_is_the_worst_that_is_to_be_said_of_any_number(case: Case) -> None:
    seqs = [
        seq for seq, has in enumerate(case.has) if has is not Has.NO_ENTRY and (case.cut is None or seq <= case.cut)
    ]
    lacks = {Has.NO_BODY: Lack.UNKNOWN, Has.TAKEN_BACK: Lack.FINE, Has.WITHHELD_HERE: Lack.HERE}
    bodiless = tuple(Bodiless(seq, entry(seq), lacks[case.has[seq]]) for seq in seqs if case.has[seq] in lacks)
    cut = OPEN if case.cut is None else (case.cut, entry(case.cut).bytes)
    log = held(*seqs, cut=cut, bodiless=bodiless, let_go=Ranges.span(0, case.floor - 1))
    refusals = (
        *map(refusal, case.refused),
        *(refusal(seq, "unknown", who=OTHER) for seq in case.shrugged),
        *(refusal(seq, who=STRANGER) for seq in case.told_of),
    )

    found = verdict(log, *map(told, case.told), told(case.rumour, Origin.KEEPER), refusals=refusals)

    assert found.word is naive(case)
    (judged,) = found.logs
    assert not numbers(judged.gaps) & numbers(judged.behind)
    assert (found.word is Word.GAP) == bool(judged.gaps)
    assert {each.seq for each in judged.said} <= case.told_of & numbers(judged.gaps.union(judged.behind))
    assert not found.accused


@given(case=cases(), extra=st.integers(0, 11))
def test_a_later_head_of_the_author_never_makes_a_verdict_better(case: Case, extra: int) -> None:
    order = [Word.COMPLETE, Word.BEHIND, Word.WITHHELD, Word.GAP]
    seqs = [seq for seq, has in enumerate(case.has) if has is not Has.NO_ENTRY]
    log = held(*seqs)
    before = verdict(log, *map(told, case.told))
    after = verdict(log, *map(told, (*case.told, extra)))
    assert order.index(after.word) >= order.index(before.word)
