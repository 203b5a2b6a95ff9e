"""Evidence on disk: written whole or not at all, and checked by whoever gets it, with no home and no network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unhush.gossip.proto.contradictions import Contradiction
from unhush.identity.cid import Cid
from unhush.identity.keys import self_test
from unhush.identity.statement import Absent, Heads, Receipt, Statement
from unhush.identity.words import fingerprint
from unhush.node.errors import BadEvidence, NotFound
from unhush.node.keeping.evidence import BEGINNING, MAX_FILE_BYTES, Evidence, check_evidence, is_evidence
from unhush.node.names import clean_name
from unhush.node.wholefiles import whole_file

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What a sound file shows; of one that is not, nothing is shown."""

    evidence: Evidence

    @property
    def ok(self) -> bool:
        return True

    @property
    def is_exact(self) -> bool:
        """Nothing stands around it."""
        return True

    def sentence(self) -> str:
        """The verdict, for people."""
        found = self.evidence
        who = f"account {' '.join(fingerprint(found.account.digest))} ({found.account})"
        said = "1 statement" if len(found.statements) == 1 else f"{len(found.statements):,} statements"
        if not found.contradictions:
            return f"Everything in this file is signed as it says: {said} about {who}. It names nobody."
        return "\n".join(
            [
                f"Everything in this file is signed as it says: {said} about {who}.",
                *map(accusation_text, found.contradictions),
            ]
        )

    def remarks(self) -> list[str]:
        """What was said, by whom, and what the file cannot show."""
        said = list(self._said())
        if self.evidence.network != "main":
            said.append(f"this account lives on the network {self.evidence.network!r}")
        if self.evidence.contradictions:
            said.append(
                "checked by the identity operations in the file: a device that was revoked since says nothing any more"
            )
        return said

    def _said(self) -> Iterator[str]:
        for each in self.evidence.statements:
            match each.claim:
                case Heads(heads):
                    yield f"{day_of(each.time)} the account says it wrote {_heads_text(heads)}"
                case Receipt(heads=heads, withheld=withheld):
                    less = f", without {len(withheld):,} of them" if withheld else ""
                    yield f"{day_of(each.time)} {each.account} says it holds {_heads_text(heads)}{less}"
                    for entry, reason in withheld:
                        yield f"  it does without {entry}: {clean_name(reason) or 'it gives no reason'}"
                case Absent(entry=entry, reason=reason):
                    why = clean_name(reason) or "it gives no reason"
                    yield f"{day_of(each.time)} {each.account} says it does not give {entry}: {why}"

    def to_json(self) -> dict[str, Any]:
        found = self.evidence
        return {
            "kind": "evidence",
            "ok": True,
            "account": str(found.account),
            "words": list(fingerprint(found.account.digest)),
            "network": found.network,
            "statements": [
                {
                    "type": each.claim.type,
                    "account": str(each.account),
                    "device": str(each.key),
                    "time": each.time,
                    "expires": each.expires,
                    "digest": each.digest.hex(),
                    "withheld": [{"entry": str(entry), "reason": reason} for entry, reason in _withheld(each)],
                }
                for each in found.statements
            ],
            "accused": [json_of_contradiction(each) for each in found.contradictions],
        }


def check_evidence_file(path: Path, on_progress: Progress = lambda _what, _count: None) -> EvidenceReport:
    """Check a file; raises ``NotFound``, and ``BadEvidence`` with what is wrong with it."""
    self_test()
    data = _read(path, MAX_FILE_BYTES + 1)
    on_progress("bytes read", len(data))
    return EvidenceReport(check_evidence(data))


def is_evidence_file(path: Path) -> bool:
    """Whether a file says of itself that it is one."""
    return is_evidence(_read(path, len(BEGINNING)))


def write_evidence(path: Path, evidence: Evidence, *, force: bool = False) -> int:
    """The bytes written; over a file that is there only with ``force``. Raises ``FileExists``, ``StorageError``."""
    data = evidence.encode()
    with whole_file(path, force=force) as file:
        file.write(data)
    return len(data)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise BadEvidence(f"{path} cannot be read: {exc.strerror}") from exc


# -- in words


def accusation_text(found: Contradiction, name: str = "") -> str:
    """One sentence on whom two statements name."""
    assert isinstance(found.absent.claim, Absent)
    who = f"{clean_name(name)} ({found.keeper})" if name else str(found.keeper)
    why = clean_name(found.absent.claim.reason)
    return (
        f"{who} contradicts itself: on {day_of(found.receipt.time)} it signed that it holds record {found.seq} "
        f"({found.entry}), and on {day_of(found.absent.time)}, while that stood, that it does not give it"
        f"{f' ({why})' if why else ''}."
    )


def json_of_contradiction(found: Contradiction) -> dict[str, Any]:
    assert isinstance(found.absent.claim, Absent)
    return {
        "keeper": str(found.keeper),
        "device": str(found.key),
        "log": str(found.log),
        "seq": found.seq,
        "entry": str(found.entry),
        "reason": found.absent.claim.reason,
        "receipt": {"digest": found.receipt.digest.hex(), "time": found.receipt.time},
        "absent": {"digest": found.absent.digest.hex(), "time": found.absent.time},
        "chain": len(found.chain),
    }


def _withheld(statement: Statement) -> tuple[tuple[Cid, str], ...]:
    """What somebody says that they do not give, and why."""
    match statement.claim:
        case Receipt(withheld=withheld):
            return withheld
        case Absent(entry=entry, reason=reason):
            return ((entry, reason),)
    return ()


def day_of(time_ms: int) -> str:
    """Of a clock that anybody may have set as he likes."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "an impossible day"


def _heads_text(heads: tuple[Any, ...]) -> str:
    records = sum(head.seq + 1 for head in heads)
    if not heads:
        return "nothing"
    return (
        f"{records:,} {'record' if records == 1 else 'records'} "
        f"on {len(heads):,} {'device' if len(heads) == 1 else 'devices'}"
    )
