"""CAR files of an account: never over another file, with the account's cards, and checked by whoever gets one."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.saying import DAY_MS

from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import Card, sign_statement
from unhush.node import Config, Node
from unhush.node.errors import FileExists, MalformedCar, UnknownFile
from unhush.node.home.checking import check_file
from unhush.node.home.checkingcar import CarReport, check_car_file
from unhush.node.wholefiles import whole_file
from unhush.storage.car import MAX_CARDS, CarReader
from unhush.storage.keeping.statements import SignedStatement, Took

Attic = Callable[[str], Config]


def sign_card(node: Node, *, age_ms: int = 0, port: int = 4470) -> bytes:
    """What a running node signs of where it is."""
    time = node.config.clock_ms() - age_ms
    card = Card((f"/ip4/192.0.2.7/tcp/{port}",), ("https://ann.example/",))
    made = sign_statement(
        node._keys.device(), node.account(), card, time=time, expires=time + DAY_MS, network=node.config.network
    )
    return made.block


def give_card(node: Node, *, age_ms: int = 0) -> bytes:
    block = sign_card(node, age_ms=age_ms)
    assert node._store.statements.take([SignedStatement(block)], node.config.clock_ms()) == [Took.STORED]
    return block


def cards_of(node: Node, account: Cid) -> list[bytes]:
    with node._store.snapshot() as snapshot:
        return [card.block for card in snapshot.cards(account)]


def section(block: bytes) -> bytes:
    size = len(block) + 36
    assert size < 2**14
    length = bytes([size & 127 | 128, size >> 7]) if size > 127 else bytes([size])
    return length + cid_of(block).bytes + block


def checked(file: Path) -> CarReport:
    return check_car_file(file, network="test")


# -- what is there already


def test_what_is_there_is_written_over_only_by_force(ann: Node, tmp_path: Path) -> None:
    for name, export in (("ann.car", ann.export_car), ("ann.html", ann.export_lifeboat)):
        file = tmp_path / name
        file.write_bytes(b"mine")
        with pytest.raises(FileExists, match="nothing was changed"):
            export(file)  # type: ignore[operator]  # two of one form
        assert file.read_bytes() == b"mine"
        export(file, force=True)  # type: ignore[operator]
        assert len(file.read_bytes()) > 100


def test_a_link_that_leads_nowhere_is_there_too(ann: Node, tmp_path: Path) -> None:
    (tmp_path / "ann.car").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExists):
        ann.export_car(tmp_path / "ann.car")
    assert not (tmp_path / "elsewhere").exists()


def test_what_came_while_the_file_was_written_stays(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(whole_file(tmp_path / "file")).write(b"ours")
        (tmp_path / "file").write_bytes(b"somebody else's")
        with pytest.raises(FileExists):
            stack.close()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"somebody else's")]


# -- cards


def test_cards_travel_with_the_account_and_come_out_again(ann: Node, new_config: Attic, tmp_path: Path) -> None:
    card = give_card(ann)
    ann.post("one")
    assert ann.export_car(tmp_path / "ann.car").cards == 1
    with Node.open(new_config("attic")) as attic:
        first, again = attic.import_car(tmp_path / "ann.car"), attic.import_car(tmp_path / "ann.car")
        assert [(each.cards, each.refused_cards, each.refused) for each in (first, again)] == [(1, 0, 0)] * 2
        assert cards_of(attic, ann.account()) == [card]
        attic.export_car(tmp_path / "again.car", ann.account())
    assert (tmp_path / "again.car").read_bytes() == (tmp_path / "ann.car").read_bytes()


def test_a_file_without_cards_is_as_it_was(ann: Node, new_config: Attic, tmp_path: Path) -> None:
    ann.export_car(tmp_path / "bare.car")
    give_card(ann)
    ann.export_car(tmp_path / "ann.car")
    bare = (tmp_path / "bare.car").read_bytes()
    assert (tmp_path / "ann.car").read_bytes().startswith(bare), "cards stand behind all else, and no root names them"
    with Node.open(new_config("attic")) as attic:
        taken = attic.import_car(tmp_path / "bare.car")
        assert (taken.stored, taken.cards, taken.refused_cards) == (2, 0, 0)


def test_an_older_card_takes_no_newer_ones_place(ann: Node, new_config: Attic, tmp_path: Path) -> None:
    give_card(ann, age_ms=5_000)
    ann.export_car(tmp_path / "older.car")
    newer = give_card(ann)
    ann.export_car(tmp_path / "newer.car")
    with Node.open(new_config("attic")) as attic:
        assert [attic.import_car(tmp_path / name).cards for name in ("newer.car", "older.car")] == [1, 1]
        assert cards_of(attic, ann.account()) == [newer]


def test_cards_nobody_signed_are_left_aside_and_named_and_the_records_come(
    ann: Node, new_node: Callable[[str], Node], new_config: Attic, tmp_path: Path
) -> None:
    bob = new_node("Bob")
    good, file = give_card(ann), tmp_path / "ann.car"
    ann.export_car(file)
    forged = good[:-1] + bytes([good[-1] ^ 1])
    early = sign_card(ann, age_ms=-DAY_MS)
    file.write_bytes(file.read_bytes() + b"".join(map(section, (forged, sign_card(bob), early))))

    report = checked(file)

    assert (report.ok, report.cards, report.checked_cards, report.problem_count) == (False, 4, 1, 3)
    assert [text for text in report.problems if "did not sign" in text]
    assert [text for text in report.problems if "ahead" in text]
    with Node.open(new_config("attic")) as attic:
        taken = attic.import_car(file)
        assert (taken.stored, taken.refused, taken.cards, taken.refused_cards) == (2, 0, 1, 3)
        assert cards_of(attic, ann.account()) == [good]
        assert cards_of(attic, bob.account()) == []


def test_of_very_many_cards_the_first_are_looked_at(ann: Node, new_config: Attic, tmp_path: Path) -> None:
    file = tmp_path / "ann.car"
    ann.export_car(file)
    cards = [sign_card(ann, age_ms=age * 1_000, port=1 + age) for age in range(MAX_CARDS + 3)]
    file.write_bytes(file.read_bytes() + b"".join(map(section, cards)))
    with file.open("rb") as opened:
        reader = CarReader(opened, lambda _cid, _block: True)
        assert (reader.contents.cards, reader.cards()) == (MAX_CARDS + 3, cards[:MAX_CARDS])
    assert "3 contact cards are more" in checked(file).problems[0]
    with Node.open(new_config("attic")) as attic:
        assert attic.import_car(file).refused_cards == 3
        assert cards_of(attic, ann.account()) == [cards[0]]


# -- the check


def test_a_sound_file_holds(ann: Node, tmp_path: Path) -> None:
    give_card(ann)
    ann.post("one")
    ann.export_car(tmp_path / "ann.car")
    report = checked(tmp_path / "ann.car")
    assert (report.ok, report.records, report.checked, report.bodies, report.holes) == (True, 3, 3, 3, 0)
    assert (report.cards, report.checked_cards, report.ended_cards) == (1, 1, 0)
    assert report.accounts == (ann.account(),)
    assert "3 of 3 records hold, 1 of 1 contact cards" in report.sentence()
    assert report.remarks() == []
    assert report.to_json()["kind"] == "car"


def test_a_card_that_ended_is_carried_and_said_to_have(ann: Node, tmp_path: Path) -> None:
    give_card(ann, age_ms=3 * DAY_MS)
    ann.export_car(tmp_path / "ann.car")
    report = checked(tmp_path / "ann.car")
    assert (report.ok, report.checked_cards, report.ended_cards) == (True, 1, 1)
    assert "ended" in report.remarks()[0]


def test_whatever_is_changed_is_seen(ann: Node, tmp_path: Path) -> None:
    """Blocks left out, another signature under its true hash, another network, a file that ends early."""
    file, bad = tmp_path / "ann.car", tmp_path / "bad.car"
    newest = ann.post("one")
    ann.export_car(file)
    data = file.read_bytes()
    with file.open("rb") as opened:
        entries = [arrival.entry for arrival in CarReader(opened, lambda _cid, _block: True).arrivals()]
    last = entries[-1]
    assert cid_of(last) == newest.id
    at = data.index(section(last))

    bad.write_bytes(data[:at])  # the newest record went, and its words
    assert any(str(newest.id) in text for text in checked(bad).problems)
    forged = last[:-1] + bytes([last[-1] ^ 1])
    bad.write_bytes(data.replace(section(last), section(forged)))
    report = checked(bad)
    assert (report.ok, report.records, report.checked) == (False, 3, 2)
    bad.write_bytes(data[: at + len(section(last))])  # its words alone
    report = checked(bad)
    assert (report.ok, report.bodies, report.spare) == (True, 2, 0)
    assert "1 of the records are here without their words" in report.remarks()
    other = data[at + len(section(last)) + 37 :].replace(b"one", b"two")
    bad.write_bytes(data[: at + len(section(last))] + section(other))  # other words, which nobody signed
    report = checked(bad)
    assert (report.bodies, report.spare) == (2, 1)
    assert any("belong to no record" in text for text in report.remarks())
    assert not check_car_file(file).ok, "of another network"
    for size in (len(data) - 1, at + 5):
        bad.write_bytes(data[:size])
        with pytest.raises(MalformedCar):
            checked(bad)


def test_a_file_is_known_by_its_content(ann: Node, tmp_path: Path) -> None:
    ann.export_car(tmp_path / "ann.txt")
    assert isinstance(check_file(tmp_path / "ann.txt"), CarReport)
    for data in (b"", b"\x0f", b"hello, hello, hello", b"\xff" * 20, bytes(100)):
        (tmp_path / "no.car").write_bytes(data)
        with pytest.raises(UnknownFile):
            check_file(tmp_path / "no.car")


def test_an_empty_file_of_this_form_holds_nothing(tmp_path: Path) -> None:
    header = b"\xa2eroots\x80gversion\x01"
    (tmp_path / "empty.car").write_bytes(bytes([len(header)]) + header)
    report = checked(tmp_path / "empty.car")
    assert (report.ok, report.problems) == (False, ("no account is in this file",))
