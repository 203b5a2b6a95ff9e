"""What the check of a lifeboat found, in words and for programs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from unhush.identity.cid import Cid
from unhush.identity.trunk import State
from unhush.identity.words import fingerprint
from unhush.node.lifeboat.form import Contents
from unhush.node.names import clean_name


@dataclass(frozen=True, slots=True)
class Problem:
    """What fails: which check, in words, and which record it is about, by its number in the file and its id."""

    check: str
    text: str
    record: int | None = None
    id: Cid | None = None

    def __str__(self) -> str:
        where = f"record {self.record}: " if self.record is not None else ""
        return f"{where}{self.text}{f' ({self.id})' if self.id is not None else ''}"


@dataclass(frozen=True, slots=True)
class LifeboatReport:
    """What the check found; the file is good iff ``problem_count`` is 0."""

    contents: Contents | None
    checked: int  # records that passed everything
    records: int  # that should be there
    operations: int
    bodies: int
    blobs: int
    state: State | None
    as_of: int  # the time the newest record that passed bears, Unix ms
    problem_count: int
    problems: tuple[Problem, ...]  # the first of them
    shell: str  # sha2-256 of the page around the data
    is_shell_known: bool  # it is the page this version writes

    @property
    def ok(self) -> bool:
        return self.problem_count == 0

    @property
    def is_exact(self) -> bool:
        return self.is_shell_known

    @property
    def words(self) -> tuple[str, ...]:
        return fingerprint(self.contents.account.digest) if self.contents is not None else ()

    def sentence(self) -> str:
        """The verdict, for people."""
        if self.contents is None:
            return "Nothing in this file can be checked."
        who = f"account {' '.join(self.words)} ({self.contents.account})"
        if not self.ok:
            return (
                f"This file is not what was signed: {self.checked:,} of {self.records:,} records passed, "
                f"{self.problem_count:,} {'thing is' if self.problem_count == 1 else 'things are'} wrong; {who}."
            )
        return f"{self.checked:,} of {self.records:,} records hold, identity as of {_day_of(self.as_of)}, {who}."

    def remarks(self) -> list[str]:
        """Every problem, and what the person should know beside."""
        said = [str(problem) for problem in self.problems]
        if (more := self.problem_count - len(said)) > 0:
            said.append(f"and {more:,} more")
        if self.contents is not None and self.contents.network != "main":
            said.append(f"this account lives on the network {self.contents.network!r}")
        if self.state is not None and self.state.alarms:
            said.append(f"the account raises an alarm: {', '.join(sorted(alarm.value for alarm in self.state.alarms))}")
        if self.holes:
            said.append(f"{self.holes:,} earlier entries were not held by whoever made the file")
        if not self.is_shell_known:
            name = clean_name(self.contents.maker) if self.contents is not None else ""  # anybody's word
            maker = f", which says it is of {name}" if name else ""
            said.append(
                f"the page around the data is not the one this version of unhush writes{maker}: an unknown program "
                f"runs in this file when it is opened (sha256 {self.shell})"
            )
        return said

    @property
    def holes(self) -> int:
        """Entries below the newest of each log that the list of contents does not name."""
        logs = self.contents.logs if self.contents is not None else ()
        return sum(log.runs[-1][1] + 1 - sum(high - low + 1 for low, high in log.runs) for log in logs)

    def to_json(self) -> dict[str, Any]:
        contents, state = self.contents, self.state
        return {
            "kind": "lifeboat",
            "ok": self.ok,
            "account": str(contents.account) if contents is not None else None,
            "words": list(self.words),
            "network": contents.network if contents is not None else None,
            "made": contents.made if contents is not None else None,
            "maker": contents.maker if contents is not None else None,
            "media": contents.media if contents is not None else None,
            "checked": self.checked,
            "records": self.records,
            "operations": self.operations,
            "bodies": self.bodies,
            "blobs": self.blobs,
            "generation": state.generation if state is not None else None,
            "closed": state.closed if state is not None else False,
            "alarms": sorted(alarm.value for alarm in state.alarms) if state is not None else [],
            "as_of": self.as_of,
            "holes": self.holes,
            "problem_count": self.problem_count,
            "problems": [
                {
                    "record": problem.record,
                    "id": str(problem.id) if problem.id is not None else None,
                    "check": problem.check,
                    "text": problem.text,
                }
                for problem in self.problems
            ],
            "program": {"sha256": self.shell, "known": self.is_shell_known},
        }


def _day_of(time_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, tz=UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return "an impossible day"
