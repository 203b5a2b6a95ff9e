"""Invites: those this home gave and may still be accepted, and those it accepted and whose giver is to hear of it.

Of a token that was given only the hash is kept: who reads this database cannot
accept in somebody's place. An invite that was used up stays until it ends, for
who accepted it may ask again. An acceptance waits here with the very bytes that
are to be sent, so that sending them again needs no key.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from unhush.identity.cid import Cid, cid_of_digest
from unhush.identity.codec import MAX_FRAME_BYTES, decode_map, encode
from unhush.storage.environment import Environment
from unhush.storage.errors import InvitesFull, StoreUnreadable
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn

# Each is looked at when somebody accepts; nobody keeps track of more either.
MAX_OPEN: Final = 256
# A circle of friends; each use leaves an account here.
MAX_USES: Final = 64
# Acceptances whose giver was not reached yet, or was: a person accepts a handful.
MAX_ACCEPTED: Final = 64
# An acceptance that ended stays this long for the person to read.
KEPT_MS: Final = 30 * 24 * 3600 * 1000

_ID_CHARS: Final = 8  # of 256 open invites no two share 40 bits


class Use(Enum):
    """What a token is worth to an account."""

    NEW = "new"  # it counts from now on
    AGAIN = "again"  # the same account, before it was followed
    DONE = "done"  # the same account, which was followed: nothing is to be done again
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"


@dataclass(frozen=True, slots=True)
class OpenInvite:
    """An invite this home gave. Times are Unix milliseconds."""

    token_hash: bytes
    made_ms: int
    until_ms: int
    uses: int  # accounts that may accept it
    accepted: tuple[Cid, ...] = ()
    followed: tuple[Cid, ...] = ()  # of those, whom this home has followed for it
    starter: int = 0  # how many people it names to begin with
    asks_keeping: bool = False  # who accepts it is asked to keep the account

    @property
    def id(self) -> str:
        """A short name for people; it gives nothing of the token away."""
        return b32encode(self.token_hash).decode()[:_ID_CHARS].lower()


class Stage(Enum):
    """How far an acceptance has come."""

    WAITING = "waiting"  # the inviter has not been told yet
    MUTUAL = "mutual"  # the inviter's node follows back
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An invite this home accepted. Times are Unix milliseconds."""

    inviter: Cid
    peer_id: str  # the machine to tell
    request: bytes  # what to tell it
    since_ms: int
    until_ms: int
    stage: Stage = Stage.WAITING
    why: str = ""  # it was refused: the code of the answer


class Invites:
    """The invites of one store; thread- and process-safe as the store is."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    # -- given

    def put(self, invite: OpenInvite, now_ms: int) -> None:
        """Remember an invite that is given now; raises ``InvitesFull``."""

        def put(txn: Txn) -> None:
            for old in _iter_open(txn):
                if old.until_ms <= now_ms:
                    txn.delete(Table.INVITES, old.token_hash)
            if sum(1 for _ in _iter_open(txn)) >= MAX_OPEN:
                raise InvitesFull(f"there are {MAX_OPEN} open invites already; unhush invite --cancel ID ends one")
            txn.put(Table.INVITES, invite.token_hash, _pack_open(invite))

        self._environment.run(put)

    def open(self, now_ms: int) -> list[OpenInvite]:
        """Those that have not ended, used up or not; the newest first."""
        with self._environment.read() as txn:
            found = [each for each in _iter_open(txn) if each.until_ms > now_ms]
        return sorted(found, key=lambda each: (-each.made_ms, each.id))

    def cancel(self, invite_id: str) -> bool:
        """End an invite; False if there is none of this id."""

        def cancel(txn: Txn) -> bool:
            found = [each for each in _iter_open(txn) if each.id == invite_id]
            for each in found:
                txn.delete(Table.INVITES, each.token_hash)
            return bool(found)

        return self._environment.run(cancel)

    def find_use(self, token_hash: bytes, account: Cid, now_ms: int) -> Use:
        """What a token would be worth to an account, without using it."""
        with self._environment.read() as txn:
            return _find_use(_find_open(txn, token_hash), account, now_ms)

    def use(self, token_hash: bytes, account: Cid, now_ms: int) -> Use:
        """Let an account use a token, if it may; one account is one use, however often it asks."""

        def use(txn: Txn) -> Use:
            found = _find_open(txn, token_hash)
            worth = _find_use(found, account, now_ms)
            if found is not None and worth is Use.NEW:
                used = replace(found, accepted=(*found.accepted, account))
                txn.put(Table.INVITES, found.token_hash, _pack_open(used))
            return worth

        return self._environment.run(use)

    def asks_keeping(self, token_hash: bytes) -> bool:
        """Whether whoever accepts the invite of this token is asked to keep the account."""
        with self._environment.read() as txn:
            found = _find_open(txn, token_hash)
            return found is not None and found.asks_keeping

    def note_followed(self, token_hash: bytes, account: Cid) -> None:
        """The account was followed: a repetition must not do it again, should it be unfollowed later."""

        def note(txn: Txn) -> None:
            found = _find_open(txn, token_hash)
            if found is not None and account in found.accepted and account not in found.followed:
                noted = replace(found, followed=(*found.followed, account))
                txn.put(Table.INVITES, found.token_hash, _pack_open(noted))

        self._environment.run(note)

    # -- accepted

    def put_accepted(self, accepted: Accepted, now_ms: int) -> None:
        """Remember an acceptance; an earlier one of the same inviter gives way. Raises ``InvitesFull``."""

        def put(txn: Txn) -> None:
            for old in _iter_accepted(txn):
                if old.until_ms + KEPT_MS <= now_ms:
                    txn.delete(Table.ACCEPTED, old.inviter.digest)
            others = [each for each in _iter_accepted(txn) if each.inviter != accepted.inviter]
            if len(others) >= MAX_ACCEPTED:
                settled = [each for each in others if each.stage is not Stage.WAITING or each.until_ms <= now_ms]
                if not settled:
                    raise InvitesFull(f"{MAX_ACCEPTED} accepted invites wait for their inviters already")
                oldest = min(settled, key=lambda each: each.since_ms)
                txn.delete(Table.ACCEPTED, oldest.inviter.digest)
            txn.put(Table.ACCEPTED, accepted.inviter.digest, _pack_accepted(accepted))

        self._environment.run(put)

    def accepted(self) -> list[Accepted]:
        """All that are remembered, the newest first."""
        with self._environment.read() as txn:
            return sorted(_iter_accepted(txn), key=lambda each: (-each.since_ms, each.inviter))

    def find_accepted(self, inviter: Cid) -> Accepted | None:
        with self._environment.read() as txn:
            value = txn.get(Table.ACCEPTED, inviter.digest)
            return _unpack_accepted(inviter.digest, value) if value is not None else None

    def settle(self, inviter: Cid, request: bytes, stage: Stage, why: str = "") -> None:
        """Note what became of an acceptance, unless another has taken its place."""

        def settle(txn: Txn) -> None:
            value = txn.get(Table.ACCEPTED, inviter.digest)
            known = _unpack_accepted(inviter.digest, value) if value is not None else None
            if known is not None and known.request == request:
                # It is never sent again, so it need not be kept.
                settled = replace(known, stage=stage, why=why, request=b"")
                txn.put(Table.ACCEPTED, inviter.digest, _pack_accepted(settled))

        self._environment.run(settle)

    def drop_accepted(self, inviter: Cid) -> bool:
        """Forget an acceptance: the inviter is told no more."""
        return self._environment.run(lambda txn: txn.delete(Table.ACCEPTED, inviter.digest))


def _find_use(invite: OpenInvite | None, account: Cid, now_ms: int) -> Use:
    if invite is None:
        return Use.UNKNOWN
    if account in invite.followed:
        return Use.DONE
    if account in invite.accepted:
        return Use.AGAIN
    if invite.until_ms <= now_ms:
        return Use.EXPIRED
    return Use.NEW if len(invite.accepted) < invite.uses else Use.USED


def _find_open(txn: Txn, token_hash: bytes) -> OpenInvite | None:
    """All are compared, each in constant time: how long it takes says nothing of any token."""
    found = None
    for each in _iter_open(txn):
        if hmac.compare_digest(each.token_hash, token_hash):
            found = each
    return found


def _iter_open(txn: Txn) -> list[OpenInvite]:
    return [_unpack_open(key, value) for key, value in txn.scan(Table.INVITES)]


def _iter_accepted(txn: Txn) -> list[Accepted]:
    return [_unpack_accepted(key, value) for key, value in txn.scan(Table.ACCEPTED)]


def _pack_open(invite: OpenInvite) -> bytes:
    return encode(
        {
            "made": invite.made_ms,
            "until": invite.until_ms,
            "uses": invite.uses,
            "accepted": b"".join(each.digest for each in invite.accepted),
            "followed": b"".join(each.digest for each in invite.followed),
            "starter": invite.starter,
            **({"keep": True} if invite.asks_keeping else {}),
        }
    )


def _unpack_open(token_hash: bytes, value: bytes) -> OpenInvite:
    match fields := decode_map(value):
        case {
            "made": int() as made_ms,
            "until": int() as until_ms,
            "uses": int() as uses,
            "accepted": bytes() as accepted,
            "followed": bytes() as followed,
            "starter": int() as starter,
        }:
            asks_keeping = fields.get("keep", False) is True
            people = _accounts(accepted), _accounts(followed)
            return OpenInvite(token_hash, made_ms, until_ms, uses, *people, starter, asks_keeping)
    raise StoreUnreadable("a stored invite is damaged")


def _accounts(digests: bytes) -> tuple[Cid, ...]:
    return tuple(cid_of_digest(digests[at : at + 32]) for at in range(0, len(digests), 32))


def _pack_accepted(accepted: Accepted) -> bytes:
    return encode(
        {
            "peer": accepted.peer_id,
            "request": accepted.request,
            "since": accepted.since_ms,
            "until": accepted.until_ms,
            "stage": accepted.stage.value,
            "why": accepted.why,
        }
    )


def _unpack_accepted(inviter: bytes, value: bytes) -> Accepted:
    match decode_map(value, max_bytes=MAX_FRAME_BYTES):
        case {
            "peer": str() as peer_id,
            "request": bytes() as request,
            "since": int() as since_ms,
            "until": int() as until_ms,
            "stage": str() as stage,
            "why": str() as why,
        } if stage in {each.value for each in Stage}:
            return Accepted(cid_of_digest(inviter), peer_id, request, since_ms, until_ms, Stage(stage), why)
    raise StoreUnreadable("a stored acceptance of an invite is damaged")
