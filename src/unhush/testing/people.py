"""Who lives in a virtual network: accounts whose keys are known in advance, and what they write.

A person is a function of a number, so that all networks of a process share
them: the 256 turn keys an inception commits to cost seven milliseconds.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from unhush.gossip.proto.config import Own
from unhush.identity.building import build_inception
from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import SALT_BYTES, Entry, Header, sign_entry
from unhush.identity.keys import SigningKey
from unhush.identity.operations import SignedOperation
from unhush.identity.words import Words

# When every virtual network begins, in Unix milliseconds.
START_MS: Final = 1_750_000_000_000

MAX_PEOPLE: Final = 4_096

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Person:
    """An account, the key of its one device, and the operation that founds it."""

    number: int
    network: str
    key: SigningKey
    inception: SignedOperation

    @property
    def account(self) -> Cid:
        return self.inception.entry.account

    @property
    def own(self) -> Own:
        return Own(self.account, self.key.public)

    def write(self, kind: str, fields: dict[str, Value], *, head: Entry | None, time_ms: int) -> tuple[Entry, bytes]:
        """The record that follows ``head`` in this person's log, and its body."""
        seq = head.header.seq + 1 if head else 0
        # No dice: the same record in the same place has the same bytes.
        salt = sha256(b"%d/%d/%d" % (self.number, seq, time_ms)).digest()[:SALT_BYTES]
        body = encode({"salt": salt, **fields})
        header = Header(
            account=self.account,
            key=self.key.public,
            seq=seq,
            prev=head.cid if head else None,
            time=max(time_ms, head.header.time) if head else time_ms,  # never falls along a log
            kind=kind,
            body=cid_of(body),
            size=len(body),
            identity=None if head else self.account,
        )
        return sign_entry(self.key, header, self.network), body


@lru_cache(maxsize=MAX_PEOPLE)
def person(number: int, network: str) -> Person:
    """The person with this number."""
    key = SigningKey(_secret(number, "device"))
    inception = build_inception(
        Words(_secret(number, "words")),
        device=key.public,
        name=f"device {number}",
        time_ms=START_MS,
        salt=_secret(number, "salt")[:SALT_BYTES],
        network=network,
    )
    return Person(number, network, key, inception)


def peer_id_of(number: int) -> str:
    """The peer id of a node; it looks like any other."""
    digits = int.from_bytes(_secret(number, "peer"), "big")
    text = ""
    while len(text) < 44:
        digits, digit = divmod(digits, len(_BASE58))
        text += _BASE58[digit]
    return "12D3KooW" + text


def address_of(number: int, per_block: int = 3) -> str:
    """Where a node listens: public, so many nodes to an IPv4 /16."""
    return f"/ip4/{23 + number // 700}.{(number // per_block) % 233}.7.{1 + number % per_block}/tcp/4001"


def _secret(number: int, what: str) -> bytes:
    return sha256(f"unhush.testing/{what}/{number}".encode()).digest()
