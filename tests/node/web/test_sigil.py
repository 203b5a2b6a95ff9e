"""The picture of an account: the same everywhere, and its own."""

from colorsys import rgb_to_hsv
from hashlib import sha256
from xml.etree import ElementTree

from unhush.identity.cid import cid_of
from unhush.node.web.sigil import PALETTES, draw_banner, draw_sigil


def test_a_sigil_never_changes() -> None:
    """Everybody's face on every node: a change here is a change of the protocol between eyes."""
    drawn = "".join(draw_sigil(cid_of(bytes([number]))) + draw_banner(cid_of(bytes([number]))) for number in range(64))
    assert sha256(drawn.encode()).hexdigest() == "ad72d0e82b0ce193e56c7731775e9cd16acf7816d8d2165eb7d5c74c9fb9bf34"


def test_sigils_differ() -> None:
    drawn = {draw_sigil(cid_of(number.to_bytes(2))) for number in range(2_000)}
    assert len(drawn) > 1_900


def test_every_sigil_is_well_formed_and_holds_no_script() -> None:
    for number in range(200):
        for svg in (draw_sigil(cid_of(number.to_bytes(2))), draw_banner(cid_of(number.to_bytes(2)))):
            for element in ElementTree.fromstring(svg).iter():
                assert element.tag.rpartition("}")[2] in ("svg", "rect", "circle", "path", "g")
                assert not [name for name in element.attrib if name.startswith("on") or "href" in name]


def test_no_sigil_wears_amber() -> None:
    """Amber says "kept, alive" and nothing else."""
    for palette in PALETTES:
        for colour in palette:
            red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
            hue, saturation, value = rgb_to_hsv(red, green, blue)
            assert not (30 < 360 * hue < 55 and saturation > 0.5 and value > 0.7), colour
