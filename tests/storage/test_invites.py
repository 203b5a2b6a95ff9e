"""Invites in the store: what a token is worth to whom, how often, how long; and acceptances that wait."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import Barrier, Thread

import pytest
from tests.support.people import Clock, open_home

from unhush.identity.cid import Cid, cid_of
from unhush.storage import invites as storage_invites
from unhush.storage.errors import InvitesFull, StoreUnreadable
from unhush.storage.invites import (
    KEPT_MS,
    MAX_ACCEPTED,
    MAX_OPEN,
    Accepted,
    Invites,
    OpenInvite,
    Stage,
    Use,
)
from unhush.storage.schema import Table

TOKEN = bytes(32)
_OTHER_TOKEN = b"other to" * 4
BEN, CARL, DORA = (cid_of(name) for name in (b"Ben", b"Carl", b"Dora"))


@pytest.fixture
def invites(tmp_path: Path) -> Iterator[Invites]:
    with open_home(tmp_path / "home", Clock()) as store:
        yield store.invites


def given(token_hash: bytes = TOKEN, *, uses: int = 1, until_ms: int = 1_000, made_ms: int = 0) -> OpenInvite:
    return OpenInvite(token_hash, made_ms, until_ms, uses)


def taken(inviter: Cid, *, since_ms: int = 0, until_ms: int = 1_000, request: bytes = b"request") -> Accepted:
    return Accepted(inviter, "peer", request, since_ms, until_ms)


def test_a_token_is_good_for_so_many_accounts_and_for_each_as_often_as_it_asks(invites: Invites) -> None:
    invites.put(given(uses=2), 0)
    assert [invites.find_use(TOKEN, BEN, 1) for _ in range(2)] == [Use.NEW, Use.NEW]
    assert [invites.use(TOKEN, who, 1) for who in (BEN, BEN, CARL, DORA, BEN)] == [
        Use.NEW, Use.AGAIN, Use.NEW, Use.USED, Use.AGAIN,
    ]  # fmt: skip
    assert invites.open(1)[0].accepted == (BEN, CARL)


def test_a_repetition_by_somebody_who_was_followed_asks_for_nothing(invites: Invites) -> None:
    invites.put(given(), 0)
    invites.note_followed(TOKEN, BEN)
    assert invites.use(TOKEN, BEN, 1) is Use.NEW
    invites.note_followed(TOKEN, BEN)
    assert [invites.use(TOKEN, BEN, now) for now in (1, 2_000)] == [Use.DONE, Use.DONE]
    assert invites.use(TOKEN, CARL, 1) is Use.USED


def test_a_token_nobody_gave_or_that_is_over_or_ended_is_worth_nothing(invites: Invites) -> None:
    invites.put(given(), 0)
    assert invites.use(b"\x01" * 32, BEN, 1) is Use.UNKNOWN
    assert invites.use(TOKEN[:31], BEN, 1) is Use.UNKNOWN
    assert invites.use(TOKEN, BEN, 1_000) is Use.EXPIRED
    assert invites.open(1_000) == []
    (kept,) = invites.open(1)
    assert invites.cancel(kept.id)
    assert not invites.cancel(kept.id)
    assert invites.use(TOKEN, BEN, 1) is Use.UNKNOWN


def test_of_two_who_come_at_once_one_is_first(invites: Invites) -> None:
    invites.put(given(), 0)
    worth: list[Use] = []
    barrier = Barrier(8)

    def come(number: int) -> None:
        barrier.wait()
        worth.append(invites.use(TOKEN, cid_of(bytes([number])), 1))

    threads = [Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(worth, key=lambda use: use.value) == [Use.NEW] + [Use.USED] * 7


def test_only_so_many_are_open_and_those_that_are_over_make_room(
    invites: Invites, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_OPEN <= 1_000  # all of them are compared for each who comes
    monkeypatch.setattr(storage_invites, "MAX_OPEN", 8)
    for number in range(8):
        invites.put(given(sha256(bytes([number])).digest(), until_ms=1_000 + number), 0)
    with pytest.raises(InvitesFull):
        invites.put(given(until_ms=9_000), 0)
    invites.put(given(until_ms=9_000), 1_000)
    assert len({each.id for each in invites.open(1_000)}) == 8


def test_an_acceptance_waits_until_it_is_settled_and_survives_reopening(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        store.invites.put_accepted(taken(BEN), 0)
        store.invites.put_accepted(taken(CARL, since_ms=5, request=bytes(300_000)), 0)
    with open_home(tmp_path / "home", Clock()) as store:
        assert [each.inviter for each in store.invites.accepted()] == [CARL, BEN]
        store.invites.settle(BEN, b"another request", Stage.MUTUAL)
        assert store.invites.find_accepted(BEN) == taken(BEN)
        store.invites.settle(BEN, b"request", Stage.REFUSED, "used")
        settled = store.invites.find_accepted(BEN)
        assert settled is not None
        assert (settled.stage, settled.why, settled.request) == (Stage.REFUSED, "used", b"")
        assert store.invites.drop_accepted(BEN)
        assert not store.invites.drop_accepted(BEN)
        assert store.invites.find_accepted(BEN) is None


def test_a_second_invite_of_the_same_person_takes_the_place_of_the_first(invites: Invites) -> None:
    invites.put_accepted(taken(BEN), 0)
    invites.put_accepted(taken(BEN, request=b"new"), 0)
    assert [each.request for each in invites.accepted()] == [b"new"]


def test_only_so_many_acceptances_wait_and_what_is_settled_makes_room(invites: Invites) -> None:
    people = [cid_of(bytes([number])) for number in range(MAX_ACCEPTED)]
    for at, who in enumerate(people):
        invites.put_accepted(taken(who, since_ms=at), 0)
    with pytest.raises(InvitesFull):
        invites.put_accepted(taken(BEN), 0)
    invites.settle(people[7], b"request", Stage.MUTUAL)
    invites.put_accepted(taken(BEN), 0)
    assert invites.find_accepted(people[7]) is None
    invites.put_accepted(taken(CARL, until_ms=9 + KEPT_MS), 1_000 + KEPT_MS)
    assert [each.inviter for each in invites.accepted()] == [CARL]


def test_damage_is_said_to_be(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", Clock()) as store:
        with store._environment.write() as txn:
            txn.put(Table.INVITES, TOKEN, b"\xa0")
            txn.put(Table.ACCEPTED, BEN.digest, b"\xa0")
        with pytest.raises(StoreUnreadable):
            store.invites.open(0)
        with pytest.raises(StoreUnreadable):
            store.invites.accepted()


def test_what_an_invite_asks_for_is_remembered(invites: Invites) -> None:
    invites.put(replace(given(), asks_keeping=True), 0)
    invites.put(given(_OTHER_TOKEN), 0)
    assert [invites.asks_keeping(each) for each in (TOKEN, _OTHER_TOKEN, b"none" * 8)] == [True, False, False]
    assert {each.token_hash: each.asks_keeping for each in invites.open(0)} == {TOKEN: True, _OTHER_TOKEN: False}
