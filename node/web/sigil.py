"""Sigil and banner: the picture an account has before anybody gives it one.

Drawn from the account id alone, so one account has one picture on every node,
and drawn here as a whole SVG document of our own numbers: nothing a stranger
wrote can be in it. No amber: that colour says "kept, alive" and nothing else.
Changing anything below changes everybody's face; it needs a reason.
"""

from collections.abc import Sequence
from hashlib import sha256
from math import cos, pi, sin
from typing import Final, NamedTuple, TypeVar

from unhush.identity.cid import Cid

T = TypeVar("T")


class Palette(NamedTuple):
    """Three colours that go together."""

    ground: str
    figure: str
    second: str


PALETTES: Final = (
    Palette("#123c34", "#7fd3b0", "#e9efe2"),
    Palette("#20304f", "#f08a6d", "#f4ead7"),
    Palette("#5b2333", "#eeb4a4", "#f7e9e1"),
    Palette("#0f4c5c", "#e6ddc0", "#7fd1c7"),
    Palette("#3a2d5c", "#8fd6c0", "#f0e9f7"),
    Palette("#6e3a24", "#f0d9c4", "#2a1710"),
    Palette("#28502e", "#c3dd74", "#f1f6de"),
    Palette("#1f2a30", "#7fc8d8", "#f1f4f2"),
    Palette("#6b1f2b", "#ffb4a2", "#2b0b12"),
    Palette("#bcd6c6", "#1d3b33", "#fbfaf2"),
    Palette("#2b3a78", "#efb6cd", "#eceffb"),
    Palette("#d6c9ba", "#43304f", "#8d4b5b"),
)


class _Dice:
    """Choices out of a hash: the same for the same account on every machine and Python."""

    def __init__(self, label: str, account: Cid) -> None:
        self._seed = label.encode() + account.digest
        self._bytes: list[int] = []
        self._rolls = 0

    def below(self, sides: int) -> int:
        if not self._bytes:
            self._bytes = list(sha256(self._seed + self._rolls.to_bytes(4)).digest())
            self._rolls += 1
        return self._bytes.pop(0) % sides

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


def draw_sigil(account: Cid) -> str:
    """The portrait: an SVG document of 100 × 100."""
    dice = _Dice("unhush sigil 1 ", account)
    palette = dice.pick(PALETTES)
    drawing = dice.pick((_rings, _tiles, _horizon, _rays, _weave))
    shapes = drawing(dice, palette)
    return _document(100, 100, f'<rect width="100" height="100" fill="{palette.ground}"/>{shapes}')


def draw_banner(account: Cid) -> str:
    """The picture over a person's page: arcs around the horizon, in the colours of the sigil."""
    ground, figure, second = _Dice("unhush sigil 1 ", account).pick(PALETTES)
    dice = _Dice("unhush banner 1 ", account)
    x, y = 420 + 8 * dice.below(26), 190 + dice.below(40)
    arcs = [f'<rect width="800" height="200" fill="{ground}"/>']
    for radius in range(44, 740, 30):
        colour = dice.pick((figure, figure, second))
        opacity = dice.pick((0.1, 0.16, 0.24, 0.4, 0.75)) if radius > 90 else 0.9
        arcs.append(
            _arc(
                x,
                y,
                radius,
                width=dice.pick((5, 9, 14, 18)),
                share=0.22 + 0.06 * dice.below(10),
                turn=15 * dice.below(24),
                paint=f'stroke="{colour}" opacity="{opacity}"',
            )
        )
    arcs.append(f'<circle cx="{x}" cy="{y}" r="24" fill="{figure}"/>')
    return _document(800, 200, "".join(arcs), ' preserveAspectRatio="xMidYMid slice"')


def _document(width: int, height: int, shapes: str, more: str = "") -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"{more}>{shapes}</svg>\n'


def _arc(x: int, y: int, radius: int, *, width: int, share: float, turn: int, paint: str) -> str:
    round_trip = 2 * pi * radius
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke-width="{width}" {paint}'
        f' stroke-dasharray="{round_trip * share:.1f} {round_trip:.1f}" transform="rotate({turn} {x} {y})"/>'
    )


def _rings(dice: _Dice, palette: Palette) -> str:
    return "".join(
        _arc(
            50,
            50,
            radius,
            width=9,
            share=dice.pick((0.25, 0.5, 0.62, 0.75)),
            turn=45 * dice.below(8),
            paint=f'stroke="{dice.pick((palette.figure, palette.second))}"',
        )
        for radius in (38, 24, 10)
    )


def _tiles(dice: _Dice, palette: Palette) -> str:
    """Four quarter discs, each leaning into one corner of its tile."""
    shapes = []
    for left in (0, 50):
        for top in (0, 50):
            right, low = dice.below(2), dice.below(2)
            x, y = left + 50 * right, top + 50 * low
            colour, hole = dice.pick((palette.figure, palette.second, palette.figure)), dice.pick((18, 26, 33))
            for radius, paint in ((50, colour), (hole, palette.ground)):
                across, down = (-radius if right else radius), (-radius if low else radius)
                sweep = int(right == low)
                shapes.append(
                    f'<path d="M{x} {y}h{across}A{radius} {radius} 0 0 {sweep} {x} {y + down}Z" fill="{paint}"/>'
                )
    return "".join(shapes)


def _horizon(dice: _Dice, palette: Palette) -> str:
    line, sun = dice.pick((46, 54, 62)), palette.figure
    shapes = [f'<circle cx="{dice.pick((36, 50, 64))}" cy="{line - 4}" r="{dice.pick((17, 22, 26))}" fill="{sun}"/>']
    for wave in range(6):
        y, lift = line + 8.6 * wave, dice.pick((-6, 6))
        shapes.append(
            f'<path d="M-5 {y:.1f}q14 {lift} 28 0t28 0 28 0 28 0" fill="none" stroke="{palette.second}"'
            f' stroke-width="{3.4 - 0.25 * wave:.2f}"/>'
        )
    return "".join(shapes)


def _rays(dice: _Dice, palette: Palette) -> str:
    count, start = dice.pick((7, 9, 12)), dice.below(30) / 100
    shapes = []
    for ray in range(count):
        one, two = (2 * pi * (ray + start + half) / count for half in (0.0, 0.5))
        shapes.append(
            f'<path d="M50 50L{50 + 80 * cos(one):.1f} {50 + 80 * sin(one):.1f}'
            f'A80 80 0 0 1 {50 + 80 * cos(two):.1f} {50 + 80 * sin(two):.1f}Z" fill="{palette.figure}"/>'
        )
    return "".join(shapes) + f'<circle cx="50" cy="50" r="{dice.pick((16, 22, 27))}" fill="{palette.second}"/>'


def _weave(dice: _Dice, palette: Palette) -> str:
    """Bars at one slant, each of its own length, over a disc."""
    turn, disc = 15 * dice.below(12), dice.pick((30, 36, 42))
    bars = "".join(
        f'<rect x="{dice.pick((-20, 8, 26, 44))}" y="{10 + 17 * row}" width="{dice.pick((34, 52, 76))}" height="8"'
        f' rx="4" fill="{palette.second}"/>'
        for row in range(5)
    )
    return f'<circle cx="50" cy="50" r="{disc}" fill="{palette.figure}"/><g transform="rotate({turn} 50 50)">{bars}</g>'
