"""Sizes, media and shares as people type them: parsed once, into values that cannot be wrong."""

import re
from dataclasses import dataclass
from typing import Final

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.identity.statement import MediaPolicy
from unhush.node.errors import BadConfig

USUAL_BUDGET: Final = "1 GiB"
# Less holds no account that says anything, and its receipt would be news every few posts.
MIN_BUDGET_BYTES: Final = 2**20
MAX_BUDGET_BYTES: Final = 2**50  # a thousand disks; what is beyond was mistyped
MAX_SHARES: Final = 10_000
MAX_LIST_BYTES: Final = 16 * 2**20  # some 280,000 ids; a box that keeps more has to be several

MEDIA_WORDS: Final = {
    MediaPolicy.NONE.value: "no pictures",
    MediaPolicy.RECENT.value: "pictures of the last 90 days",
    MediaPolicy.ALL.value: "all pictures",
}

_SIZE: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?\s*([kmgt]i?b?|b)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SHARE: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


def parse_budget(text: int | str) -> int:
    """Bytes, of a number or of a text as ``500MiB`` or ``1.5 GB`` (powers of 1,024 both); raises ``BadConfig``."""
    if isinstance(text, bool) or not isinstance(text, int | str):
        raise BadConfig(f"not a size: {str(text)[:40]!r}; one looks like 500MiB or 2GiB")
    size = text if isinstance(text, int) else _parse_size(text)
    if not MIN_BUDGET_BYTES <= size <= MAX_BUDGET_BYTES:
        raise BadConfig(f"a budget is from 1MiB to {MAX_BUDGET_BYTES >> 40:,}TiB, not {str(text)[:40]!r}")
    return size


def _parse_size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BadConfig(f"not a size: {text[:40]!r}; one looks like 500MiB or 2GiB")
    whole, part, unit = found[1], found[2] or "", (found[3] or "")[:1].lower()
    number: int = int(whole + part) * _UNITS[unit]
    return number // int("1" + "0" * len(part))


def parse_media(text: str | MediaPolicy) -> MediaPolicy:
    """Raises ``BadConfig``."""
    if isinstance(text, MediaPolicy):
        return text
    try:
        return MediaPolicy(text)
    except ValueError:
        raise BadConfig(f"which pictures: {', '.join(MEDIA_WORDS)}; not {str(text)[:40]!r}") from None


@dataclass(frozen=True, slots=True)
class Share:
    """One of several boxes that split a list of accounts among them, counted from 0; raises ``BadConfig``."""

    index: int
    of: int

    def __post_init__(self) -> None:
        if not (1 <= self.of <= MAX_SHARES and 0 <= self.index < self.of):
            raise BadConfig(f"a share is from 0/{max(self.of, 1)} to {max(self.of, 1) - 1}/{max(self.of, 1)}")

    def holds(self, account: Cid) -> bool:
        """Whether the account is this box's: by its digest, so that every box comes to the same."""
        return int.from_bytes(account.digest) % self.of == self.index


def parse_share(text: str) -> Share:
    """Of a text as ``2/5``, the third of five; raises ``BadConfig``."""
    found = _SHARE.fullmatch(text.strip())
    if found is None:
        raise BadConfig(f"not a share: {text[:40]!r}; the first of five is 0/5, the last 4/5")
    return Share(int(found[1]), int(found[2]))


def size_text(size_bytes: int) -> str:
    """Bytes as people say them."""
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size_bytes >= 2**power:
            number = size_bytes / 2**power
            return f"{number:.1f} {unit}" if number < 10 and number != int(number) else f"{number:.0f} {unit}"
    return f"{size_bytes} B"


def parse_accounts(data: bytes) -> tuple[Cid, ...]:
    """The accounts of a list: one id a line, ``#`` begins a remark; raises ``BadConfig``, which names the line."""
    if len(data) > MAX_LIST_BYTES:
        raise BadConfig(f"a list of accounts has at most {MAX_LIST_BYTES >> 20} MiB")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise BadConfig("a list of accounts is UTF-8 text") from exc
    accounts: dict[Cid, None] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            accounts[parse_cid(text)] = None
        except MalformedCid as exc:
            raise BadConfig(f"line {number} of the list is no account id: {text[:80]!r}") from exc
    return tuple(accounts)
