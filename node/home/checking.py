"""Files that prove themselves: which kinds there are, and who checks each.

``unhush verify FILE`` looks at what a file is by its content, never by its
name. A kind is one row below; its report says in its own words what it found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from unhush.node.errors import UnknownFile
from unhush.node.home.checkingcar import check_car_file, is_car_file
from unhush.node.keeping.evidence_file import check_evidence_file, is_evidence_file
from unhush.node.lifeboat.checking import check_lifeboat
from unhush.node.lifeboat.reading import is_lifeboat

Progress = Callable[[str, int], None]


class FileReport(Protocol):
    """What a check found."""

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether what stands around the data is also what this version writes."""
        ...

    def to_json(self) -> dict[str, Any]:
        """For programs; ``kind`` and ``ok`` are always there."""
        ...

    def sentence(self) -> str:
        """The verdict, for people."""
        ...

    def remarks(self) -> list[str]:
        """What fails, line by line, and what else a person should know."""
        ...


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file; ``is_one`` reads no more than its beginning."""

    name: str
    is_one: Callable[[Path], bool]
    check: Callable[[Path, Progress], FileReport]


KINDS: Final = (
    FileKind("lifeboat", is_lifeboat, check_lifeboat),
    FileKind("evidence", is_evidence_file, check_evidence_file),
    FileKind("CAR", is_car_file, check_car_file),
)


def check_file(path: Path, on_progress: Progress = lambda _what, _count: None) -> FileReport:
    """Check a file of whichever kind; raises ``NotFound``, ``UnknownFile``, and what its check raises."""
    for kind in KINDS:
        if kind.is_one(path):
            return kind.check(path, on_progress)
    raise UnknownFile(f"{path} is no file that can be checked: no {', '.join(kind.name for kind in KINDS)}")
