"""The dial: this node in the middle, its peers around it, as one server-drawn SVG.

The inner orbit holds peers with a live connection, the outer one addresses
that are only remembered; the angle is a hash of the peer's key, so a peer
stands at the same place every day. Amber is what is alive now. The table below
the dial says the same in words, and the SVG's label says it in one sentence.
"""

from hashlib import sha256
from math import cos, pi, sin
from typing import Final

from unhush.identity.cid import Cid
from unhush.node.views import PeerInfo
from unhush.node.web.sigil import draw_sigil

WIDTH: Final = 600
HEIGHT: Final = 420
CENTRE: Final = (300, 210)
INNER: Final = 104
OUTER: Final = 172
NAMES: Final = {INNER: "connected", OUTER: "remembered"}  # stand on the orbits, straight down
# More dots than this on one orbit touch each other; the table has every one.
MAX_DOTS: Final = 32
_DOT: Final = 8  # radius of the larger ones


def draw_dial(me: Cid | None, peers: tuple[PeerInfo, ...]) -> str:
    """The whole SVG; nothing in it is text of a peer's."""
    alive = [peer for peer in peers if peer.connected]
    known = [peer for peer in peers if not peer.connected]
    x, y = CENTRE
    label = f"{len(alive)} connected around this node, {len(known)} remembered. The table below lists them."
    shapes = [f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    for radius in (OUTER, INNER):
        shapes.append(f'<circle class="band" cx="{x}" cy="{y}" r="{radius}"/>')
        shapes.append(f'<circle class="orbit" cx="{x}" cy="{y}" r="{radius}"/>')
    for step in range(120):
        angle, length = 2 * pi * step / 120, 8 if step % 10 == 0 else 4
        (ax, ay), (bx, by) = _at(OUTER + 20, angle), _at(OUTER + 20 + length, angle)
        shapes.append(f'<line class="tick" x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}"/>')
    for angle in _angles(alive, INNER):
        px, py = _at(INNER, angle)
        shapes.append(f'<line class="wire" x1="{x}" y1="{y}" x2="{px:.1f}" y2="{py:.1f}"/>')
    for radius, crowd, kind in ((OUTER, known, "known"), (INNER, alive, "alive")):
        for angle in _angles(crowd, radius):
            px, py = _at(radius, angle)
            shapes.append(f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="{_DOT if kind == "alive" else 5}"/>')
    shapes.append(f'<circle class="plate" cx="{x}" cy="{y}" r="36"/>{_portrait(me)}')
    for radius, words in NAMES.items():
        half, top = _half_of(words), y + radius
        shapes.append(
            f'<rect class="plate" rx="9" x="{x - half:.0f}" y="{top - 10}" width="{2 * half:.0f}" height="20"/>'
        )
        shapes.append(f'<text x="{x}" y="{top + 4.5}" text-anchor="middle">{words}</text>')
    return "".join(shapes) + "</svg>"


def _portrait(me: Cid | None) -> str:
    x, y = CENTRE
    if me is None:
        return f'<circle class="known" cx="{x}" cy="{y}" r="28"/>'
    inner = draw_sigil(me).partition(">")[2].rpartition("</svg>")[0]
    return (
        f'<clipPath id="dial-me"><circle cx="{x}" cy="{y}" r="30"/></clipPath><g clip-path="url(#dial-me)">'
        f'<g transform="translate({x - 30} {y - 30}) scale(.6)">{inner}</g></g>'
    )


def _angles(peers: list[PeerInfo], radius: int) -> list[float]:
    """A place for each peer: its own by hash, moved on while somebody, or the name of the orbit, stands there."""
    room = 2 * pi / MAX_DOTS
    half = _half_of(NAMES[radius]) + _DOT
    taken = {seat for seat in range(MAX_DOTS // 2) if abs(radius * cos(seat * room)) < half}  # the lower half
    angles = []
    for peer in sorted(peers, key=_name)[: MAX_DOTS - len(taken)]:
        seat = int.from_bytes(sha256(_name(peer).encode("utf-8", "replace")).digest()[:4]) % MAX_DOTS
        while seat in taken:
            seat = (seat + 1) % MAX_DOTS
        taken.add(seat)
        angles.append(seat * room)
    return angles


def _half_of(words: str) -> float:
    """Half the width of an orbit's name."""
    return len(words) * 3.5 + 8


def _name(peer: PeerInfo) -> str:
    return peer.peer or peer.address


def _at(radius: float, angle: float) -> tuple[float, float]:
    x, y = CENTRE
    return x + radius * cos(angle), y + radius * sin(angle)
