"""Records of others that are told to every peer anew: the newest, and of everybody some."""

from tests.gossip.proto.conftest import account, item, key

from unhush.gossip.proto import limits
from unhush.gossip.proto.events import Concerns
from unhush.gossip.proto.letters import MAX_LETTERS, Letters
from unhush.identity.cid import Cid, cid_of

ANN, BEN, CLEO = account("ann"), account("ben"), account("cleo")
K = key("k")


def put(letters: Letters, numbers: range, about: Cid, by: Cid = CLEO) -> list[Concerns]:
    new = [Concerns(cid_of(item(K, number).entry), by, K, (about,)) for number in numbers]
    for each in new:
        letters.put(each)
    return new


def test_the_newest_are_remembered_oldest_first_and_each_once() -> None:
    letters = Letters()
    new = put(letters, range(MAX_LETTERS + 5), ANN)
    put(letters, range(MAX_LETTERS, MAX_LETTERS + 5), ANN)
    assert list(letters) == new[5:]


def test_who_is_written_to_by_many_leaves_room_for_others() -> None:
    letters = Letters()
    few = put(letters, range(3), BEN)
    many = put(letters, range(3, 1_000), ANN)
    assert list(letters) == few + many[-(MAX_LETTERS - 3) :]


def test_who_writes_to_everybody_leaves_room_for_others() -> None:
    letters = Letters()
    few = put(letters, range(3), BEN)
    for number in range(3, 1_000):
        put(letters, range(number, number + 1), account(f"reader {number}"), by=ANN)
    assert list(letters)[:3] == few


def test_with_own_records_as_many_are_told_as_go_at_once() -> None:
    assert MAX_LETTERS + limits.OWN_OFFERED == limits.OFFERS_SENT_AT_ONCE < limits.OFFERS_AT_ONCE
