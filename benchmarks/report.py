"""Tables, a picture and figures: what a benchmark found, as people and as programs read it."""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from crowd import cache_folder

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    is_ours: bool = False


@dataclass(frozen=True)
class Chart:
    """Bars of one measure; ``aim`` is a line to reach or to stay below."""

    title: str
    bars: list[Bar]
    aim: float | None = None


@dataclass
class Report:
    """What is written under ``results/NAME.*``."""

    name: str
    intro: str
    parts: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    machine: str = field(init=False)

    def table(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
        lines = [f"## {title}", "", " | ".join(("", *heads, "")).strip()]
        lines.append("|" + "---|" * len(heads))
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
        self.parts.append("\n".join(lines + (["", note] if note else [])))

    def __post_init__(self) -> None:
        self.machine = describe_machine()

    def text(self) -> str:
        picture = [f"![{self.name}]({self.name}.svg)"] if self.charts else []
        return "\n\n".join([f"# {self.name}", f"{self.machine}. {self.intro}", *picture, *self.parts]) + "\n"

    def write(self) -> str:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.md").write_text(self.text())
        figures = {"machine": self.machine, **self.figures}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(figures, indent=1, default=_plain) + "\n")
        if self.charts:
            (RESULTS / f"{self.name}.svg").write_text(draw(self.charts))
        return self.text()


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is no figure")


def describe_machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, load {load:.1f}, "
        f"one fdatasync of 4 KiB here {fdatasync_ms():.2f} ms"
    )


def fdatasync_ms() -> float:
    """The median of 50, in the folder the databases stand in."""
    spent = []
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        for _ in range(50):
            os.write(file.fileno(), os.urandom(4_096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - began) * 1e3)
    return statistics.median(spent)


_WIDTH: Final = 760
_LEFT: Final = 250
_ROW: Final = 22


def draw(charts: Sequence[Chart]) -> str:
    """One picture of all charts, below each other, readable on light and dark ground."""
    out: list[str] = []
    top = 0
    for chart in charts:
        out.append(f'<text x="12" y="{top + 24}" class="title">{escape(chart.title)}</text>')
        top += 36
        highest = max([bar.value for bar in chart.bars] + [chart.aim or 0]) or 1
        scale = (_WIDTH - _LEFT - 90) / highest
        begin = top
        for bar in chart.bars:
            width = max(bar.value * scale, 1)
            style = "ours" if bar.is_ours else "other"
            out.append(f'<text x="{_LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(bar.name)}</text>')
            out.append(
                f'<rect x="{_LEFT}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}" rx="2" class="{style}"/>'
            )
            out.append(f'<text x="{_LEFT + width + 6:.1f}" y="{top + 15}">{number(bar.value)}</text>')
            top += _ROW
        if chart.aim is not None:
            x = _LEFT + chart.aim * scale
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{begin - 2}" y2="{top}" class="aim"/>')
        top += 14
    style = (
        "text{font:13px system-ui,sans-serif;fill:#777}.title{font-weight:600}.ours{fill:#3b82c4}"
        ".other{fill:#a8a8a8}.aim{stroke:#c4593b;stroke-width:2;stroke-dasharray:4 3}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}">'
    return "\n".join([head, f"<style>{style}</style>", *out, "</svg>"]) + "\n"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
