"""The 24 words and every key that is derived from them (PROTOCOL §3, "Secrets").

The words are BIP-39 for 32 bytes of entropy *R*. From R come the root keys,
which sign daily changes, and the turn keys, which sign only rotations. The
inception commits to the whole chain of turn keys, so whoever steals a device
or a root key can never choose the successor.
"""

from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

from unhush.identity.errors import BadWords
from unhush.identity.keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS: Final = 24
ENTROPY_BYTES: Final = 32
GENERATIONS: Final = 256  # rotations an account can ever make
_CHAIN_END: Final = bytes(32)
_ROOT: Final = b"unhush-root"
_TURN: Final = b"unhush-turn"


@dataclass(frozen=True, slots=True)
class Words:
    """The recovery secret; its repr never shows it."""

    entropy: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.entropy) != ENTROPY_BYTES:
            raise BadWords(f"the words stand for {ENTROPY_BYTES} bytes, not {len(self.entropy)}")

    def text(self) -> str:
        """The 24 words, with single spaces."""
        return str(_mnemonic().to_mnemonic(self.entropy))

    def root(self, generation: int) -> SigningKey:
        """The key that signs adds, revokes and freezes of this generation, 0…256."""
        return self._derive(_ROOT, generation, first=0)

    def turn(self, generation: int) -> SigningKey:
        """The key that signs only the rotate to this generation, 1…256."""
        return self._derive(_TURN, generation, first=1)

    def commitment(self, generation: int) -> bytes:
        """``C_g``: what a table of this generation says about all later turn keys."""
        value = _CHAIN_END
        for later in range(GENERATIONS, generation, -1):
            value = commit(self.turn(later).public, value)
        return value

    def _derive(self, person: bytes, generation: int, *, first: int) -> SigningKey:
        if not first <= generation <= GENERATIONS:
            raise ValueError(f"generation {generation} is not in {first}…{GENERATIONS}")
        data = generation.to_bytes(4, "big")
        return SigningKey(blake2b(data, digest_size=32, key=self.entropy, person=person).digest())


def commit(turn: PublicKey, after: bytes) -> bytes:
    """One step of the commitment chain: ``C_(g-1)`` from turn key *g* and ``C_g``."""
    return sha256(b"unhush/1/next\x00" + turn.bytes + after).digest()


def parse_words(text: str) -> Words:
    """Read 24 BIP-39 words, forgiving case and white space; raises ``BadWords``."""
    words = text.lower().split()
    if len(words) != WORDS:
        raise BadWords(f"recovery needs {WORDS} words, these are {len(words)}")
    known = set(_mnemonic().wordlist)
    # The position, never the word: a message may end up in a log.
    for position, word in enumerate(words, 1):
        if word not in known:
            raise BadWords(f"word {position} is not in the list of recovery words")
    try:
        return Words(bytes(_mnemonic().to_entropy(words)))
    except ValueError as exc:
        raise BadWords("the words do not fit together (wrong checksum): one is wrong or two are swapped") from exc


@cache
def _mnemonic() -> "Mnemonic":
    from mnemonic import Mnemonic  # lazy: it reads a word list, and most commands need no words

    return Mnemonic("english")
