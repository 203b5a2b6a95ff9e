"""Evidence: a file checked from nothing; not one byte of it can be changed, and nothing in it is a mere word."""

from collections.abc import Sequence
from functools import cache
from random import Random

import pytest
from tests.support.people import NETWORK, Device, Person, Written

from unhush.gossip.proto.contradictions import Contradiction, find_contradiction
from unhush.identity.cid import Cid
from unhush.identity.codec import Value, decode, encode
from unhush.identity.entry import parse_entry, stored_entry
from unhush.identity.keys import SigningKey
from unhush.identity.operations import OPEN, SignedOperation
from unhush.identity.statement import (
    Absent,
    Card,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Receipt,
    Statement,
    Withheld,
    sign_statement,
)
from unhush.node.errors import BadEvidence
from unhush.node.keeping.evidence import MAX_STATEMENTS, check_evidence, gather_evidence, is_evidence
from unhush.storage.arrivals import Arrival

NOW = 1_900_000_000_000
TERM = 30 * 24 * 3_600 * 1_000


@cache
def people() -> tuple[Person, Person, Person, list[Written]]:
    author = Person("author", 1)
    return author, Person("keeper", 2), Person("bystander", 3), author.posts(6)


def operation(arrival: Arrival) -> SignedOperation:
    assert arrival.body is not None
    return SignedOperation(stored_entry(arrival.entry), arrival.body)


def say(
    who: Person, claim: Claim, *, time: int = NOW, expires: int | None = None, key: SigningKey | None = None
) -> Statement:
    end = time + TERM if expires is None else expires
    return sign_statement(key or who.device.key, who.account, claim, time=time, expires=end, network=NETWORK)


def heads(seq: int = 5) -> Statement:
    author, _, _, written = people()
    return say(author, Heads((Head(author.key, seq, written[seq].cid),), bytes(32)))


def receipt(of: Person | None = None, *withheld: int, by: Person | None = None, time: int = NOW) -> Statement:
    author, keeper, _, written = people()
    listed = tuple(Withheld(written[seq].cid, "order of a court") for seq in withheld)
    head = Head(author.key, 5, written[5].cid)
    claim = Receipt((of or author).account, (head,), listed, bytes(32), MediaPolicy.NONE)
    return say(by or keeper, claim, time=time)


def absent(under: Statement | None, seq: int = 3, *, by: Person | None = None, reason: str = "unknown") -> Statement:
    author, keeper, _, written = people()
    claim = Absent(author.account, written[seq].cid, reason, under.digest if under else None)
    return say(by or keeper, claim, time=NOW + 1_000)


def lie() -> Contradiction:
    promised = receipt()
    chain = [parse_entry(written.entry.block) for written in people()[3][4:][::-1]]
    return find_contradiction(promised, absent(promised), chain, cut_of=lambda _: OPEN, network=NETWORK)


def operations(**more: Sequence[SignedOperation]) -> dict[Cid, Sequence[SignedOperation]]:
    return {each.account: [each.inception, *more.get(each.name, ())] for each in people()[:3]}


def file_of(*statements: Statement, lies: Sequence[Contradiction] = ()) -> bytes:
    return gather_evidence(NETWORK, people()[0].account, operations(), statements, lies).encode()


def the_file() -> bytes:
    return file_of(heads(), receipt(None, 2, by=people()[2]), lies=[lie()])


def changed(data: bytes, **fields: Value) -> bytes:
    """The same file with other fields; a field that is None goes."""
    magic, before = decode(data, max_items=65_536, max_bytes=2**26)  # type: ignore[misc]
    assert isinstance(before, dict)
    return encode([magic, {name: value for name, value in (before | fields).items() if value is not None}])


def field(data: bytes, name: str) -> list[Value]:
    _, fields = decode(data, max_items=65_536, max_bytes=2**26)  # type: ignore[misc]
    assert isinstance(fields, dict)
    found = fields[name]
    assert isinstance(found, list)
    return found


# -- what is in it


def test_evidence_is_checked_from_nothing_and_names_the_keeper() -> None:
    author, keeper, _, written = people()
    data = the_file()
    found = check_evidence(data)
    assert is_evidence(data)
    assert found.account == author.account
    assert [each.keeper for each in found.contradictions] == [keeper.account]
    assert found.contradictions[0].entry == written[3].cid
    assert len(found.statements) == 4
    assert found.encode() == data


def test_the_same_facts_make_the_same_file() -> None:
    said = [heads(), receipt(None, 2, by=people()[2]), absent(None, 1)]
    assert file_of(*said, lies=[lie()]) == file_of(*said[::-1], *said, lies=[lie()])


def test_evidence_without_a_contradiction_names_nobody() -> None:
    found = check_evidence(file_of(heads(), receipt(), absent(None)))
    assert (len(found.statements), found.contradictions) == (3, ())


def test_what_is_not_about_the_account_or_not_by_an_open_device_is_left_out() -> None:
    author, keeper, bystander, _ = people()
    unknown = say(keeper, receipt().claim, key=SigningKey(b"\x09" * 32))
    for each in (unknown, receipt(bystander), say(author, Card((), ())), say(keeper, Heads((), bytes(32)))):
        assert check_evidence(file_of(each)).statements == ()


def test_a_speaker_whose_operations_are_not_here_is_left_out() -> None:
    author = people()[0]
    ops = {author.account: [author.inception]}
    assert gather_evidence(NETWORK, author.account, ops, [heads(), receipt()], [lie()]).statements == (heads(),)
    with pytest.raises(BadEvidence):
        gather_evidence(NETWORK, author.account, {}, [heads()], [])


def test_operations_that_do_not_count_are_left_out() -> None:
    author, keeper, _, _ = people()
    stale = operation(keeper.operation("identity.add", {"device": {"key": bytes(32), "name": ""}}, root=0))
    with pytest.raises(BadEvidence):
        check_evidence(changed(file_of(receipt()), speakers=[[author.account, [[stale.entry.block, stale.body]]]]))
    other = Device(SigningKey(b"\x05" * 32))
    twice = [operation(keeper.add(other, name)) for name in ("first", "second")]
    found = gather_evidence(NETWORK, author.account, operations(keeper=twice), [receipt()], [])
    assert [len(speaker.operations) for speaker in found.speakers if speaker.account == keeper.account] == [2]


def test_of_too_many_statements_the_newest_are_shown_and_those_that_name_somebody() -> None:
    author, _, bystander, _ = people()
    many = [
        say(bystander, Absent(author.account, lie().entry, f"{number}"), time=NOW + 2_000 + number)
        for number in range(MAX_STATEMENTS + 10)
    ]
    found = check_evidence(file_of(*many, lies=[lie()]))
    assert len(found.statements) == MAX_STATEMENTS
    assert len(found.contradictions) == 1


# -- what is no evidence


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.long)])
def test_no_byte_of_it_can_be_changed(bits: int) -> None:
    """Each byte in turn, by one of its bits and in the long form by each."""
    data, rng = file_of(lies=[lie()]), Random(41)
    for at in range(len(data)):
        for bit in rng.sample(range(8), bits):
            with pytest.raises(BadEvidence):
                check_evidence(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])


def test_no_part_of_it_can_be_dropped_or_doubled() -> None:
    data, rng = the_file(), Random(42)
    for _ in range(500):
        low = rng.randrange(len(data))
        high = min(len(data), low + rng.randrange(1, 400))
        for wounded in (data[:low] + data[high:], data[:high] + data[low:]):
            with pytest.raises(BadEvidence):
                check_evidence(wounded)
    for wounded in (b"", data[:-1], data + b"\x00"):
        with pytest.raises(BadEvidence):
            check_evidence(wounded)


@pytest.mark.parametrize("name", ["speakers", "statements", "chains"])
def test_nothing_can_be_left_out_moved_or_repeated(name: str) -> None:
    data = file_of(heads(), receipt(None, 2, by=people()[2]), lies=[lie()])
    items = field(data, name)
    assert check_evidence(changed(data)).contradictions
    forms: list[list[Value]] = [[*items, items[-1]], [*items, []], [*items, None]]
    if len(items) > 1:
        forms += [items[::-1], items[1:] + items[:1]]
    for each in forms:
        with pytest.raises(BadEvidence):
            check_evidence(changed(data, **{name: each}))


def test_without_one_of_its_two_statements_nobody_is_named() -> None:
    data = file_of(lies=[lie()])
    statements = field(data, "statements")
    for each in statements:
        with pytest.raises(BadEvidence):
            check_evidence(changed(data, statements=[each]))
    named = changed(data, chains=[], statements=[], speakers=[field(data, "speakers")[0]])
    others = changed(data, chains=[], statements=[], speakers=[field(data, "speakers")[1]])
    # One of the two speakers is the account itself, whose operations are always there; the other says nothing now.
    results = []
    for each in (named, others):
        try:
            results.append(check_evidence(each).contradictions)
        except BadEvidence:
            results.append(None)
    assert sorted(results, key=str) == [(), None]


def test_a_chain_between_statements_that_go_together_is_refused() -> None:
    written = people()[3]
    promised = receipt(None, 3)
    honest = absent(promised)
    data = file_of(promised, honest)
    blocks: list[Value] = [each.entry.block for each in written[4:][::-1]]
    with pytest.raises(BadEvidence, match="as withheld"):
        check_evidence(changed(data, chains=[[promised.digest, honest.digest, blocks]]))


def test_another_account_or_network_is_refused() -> None:
    data = the_file()
    for fields in ({"account": people()[1].account}, {"network": "main"}, {"network": "Ä"}, {"more": 1}):
        with pytest.raises(BadEvidence):
            check_evidence(changed(data, **fields))


def test_a_revoke_in_the_file_acquits_who_did_not_keep_what_is_void() -> None:
    author = people()[0]
    revoke = operation(author.revoke(author.key, people()[3][2].entry))
    ops = operations(author=[revoke])
    found = gather_evidence(NETWORK, author.account, operations(), [], [lie()])
    with pytest.raises(BadEvidence, match="void"):
        gather_evidence(NETWORK, author.account, ops, [], found.contradictions)


def test_a_keeper_whose_device_was_revoked_is_not_named_by_it() -> None:
    author, keeper, _, _ = people()
    ops = operations(keeper=[operation(keeper.revoke(keeper.key, None))])
    assert gather_evidence(NETWORK, author.account, ops, [], [lie()]).contradictions == ()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        encode(["unhush evidence 1"]),
        encode(["unhush evidence 1", {}]),
        encode(["unhush evidence 1", []]),
        encode(["unhush evidence 2", {}]),
        encode({"unhush evidence 1": {}}),
        b"<!doctype html>",
        bytes(1_000),
    ],
)
def test_what_is_laid_out_otherwise_is_refused(data: bytes) -> None:
    with pytest.raises(BadEvidence):
        check_evidence(data)


def test_a_long_log_is_checked_in_little_time() -> None:
    """The bound is what a chain may have; here a twentieth of it, so that the test is quick."""
    author, keeper = Person("talker", 5), people()[1]
    written = author.posts(1_600)
    head = Head(author.key, 1_599, written[-1].cid)
    promised = say(keeper, Receipt(author.account, (head,), (), bytes(32), MediaPolicy.NONE))
    refused = say(keeper, Absent(author.account, written[0].cid, "", promised.digest), time=NOW + 1)
    chain = [parse_entry(each.entry.block) for each in written[:0:-1]]
    found = find_contradiction(promised, refused, chain, cut_of=lambda _: OPEN, network=NETWORK)
    ops = {author.account: [author.inception], keeper.account: [keeper.inception]}
    data = gather_evidence(NETWORK, author.account, ops, [], [found]).encode()
    assert len(check_evidence(data).contradictions[0].chain) == 1_599
    assert len(data) < 1_600 * 330
