"""Names by strangers: nothing invisible, nothing turned round, no borrowed faces."""

import pytest
from tests.node.web.fake import FakeNode

from unhush.identity.cid import cid_of
from unhush.node.names import LookAlikes, clean_name, clean_text, skeleton


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Ines\u202edniL", "InesdniL"),
        ("  Ines \n Lind\t", "Ines Lind"),
        ("I\u200bn\u2060e\ufeffs", "Ines"),
        ("\u2067Ines\u2069", "Ines"),
        ("a\x00b\x1bc\x9b", "abc"),
        ("\u200d\u200c", ""),
        ("👩\u200d🌾", "👩\u200d🌾"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Z" + "\u0327" * 40, "Z" + "\u0327" * 3),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_name_is_one_visible_line(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


def test_prose_keeps_its_lines_and_loses_its_controls() -> None:
    assert clean_text("a\r\nb\tc\x07\u202ed\u2028e") == "a\nb\tcd\ne"


@pytest.mark.parametrize("twin", ["Ιnes Lind", "lnes Lind", "INES LIND", "Ines  Lіnd", "Ínes Lind", "1nes L!ind"])
def test_a_twin_of_somebody_you_follow_is_named(twin: str) -> None:
    node = FakeNode()
    ines = node.meet("ines", "Ines Lind")
    known = LookAlikes(node.follows())
    assert known.find(cid_of(b"stranger"), twin) == "Ines Lind"
    assert known.find(ines, "Ines Lind") is None


def test_a_petname_is_guarded_too_and_others_are_left_alone() -> None:
    node = FakeNode()
    node.meet("mara", "Mara Vesterdal", petname="mara")
    known = LookAlikes(node.follows())
    assert known.find(cid_of(b"stranger"), "Маrа") == "mara"
    assert known.find(cid_of(b"stranger"), "Mary") is None
    assert skeleton("!!!") == ""
