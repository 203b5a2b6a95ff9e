"""The dial: who is connected and who is remembered, each where they can be seen."""

from xml.etree import ElementTree

import pytest

from unhush.node.views import PeerInfo
from unhush.node.web.dial import draw_dial


def peers(count: int, *, connected: bool) -> tuple[PeerInfo, ...]:
    return tuple(
        PeerInfo(f"/ip4/192.0.2.1/tcp/{number}", f"peer {number}", connected, False) for number in range(count)
    )


@pytest.mark.parametrize(("kind", "count"), [("alive", 3), ("alive", 500), ("known", 3), ("known", 500)])
def test_no_peer_stands_under_the_name_of_an_orbit_or_on_another(kind: str, count: int) -> None:
    drawn = ElementTree.fromstring(draw_dial(None, peers(count, connected=kind == "alive")))
    names = [
        {side: float(value) for side, value in rect.items() if side not in ("class", "rx")}
        for rect in drawn.iter("rect")
    ]
    dots = [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter("circle") if dot.get("class") == kind
    ]
    dots = [(x, y) for x, y in dots if (x, y) != (300.0, 210.0)]  # ourselves
    assert len(names) == 2
    assert len(dots) == len(set(dots)) >= min(count, 25)
    for x, y in dots:
        for name in names:
            is_beside = not name["x"] < x < name["x"] + name["width"]
            assert is_beside or not name["y"] - 8 < y < name["y"] + name["height"] + 8
