"""Kademlia, as a hint: where to ask who carries an account. Tables and look-ups, all bounded; see decision 0034.

Everything here is hearsay. A contact is a peer we spoke with, at addresses it told us; a provider is a peer that
said of itself that it carries an account. What a look-up finds becomes an address to try (``Source.LEARNED``),
and what comes from there is checked like anything else, so a lie costs a dial.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Final

from unhush.gossip.proto.sightings import block_of
from unhush.identity.cid import Cid

PROTOCOL: Final = "/unhush/kad/1"

# Kademlia's k and alpha, as in libp2p.
CLOSEST: Final = 20
AT_A_TIME: Final = 3

# Contacts in one bucket, and in all: 512 × ~600 bytes = 300 KiB. Half of the network is in the first bucket.
MAX_PER_BUCKET: Final = 20
MAX_CONTACTS: Final = 512
# Of one IPv4 /16 or IPv6 /32 in one bucket, as in libp2p: the near buckets are the ones worth buying.
MAX_PER_BLOCK: Final = 2
MAX_ADDRESSES: Final = 4

# Provider entries: 4,096 accounts × 16 peers is the worst case, 65,536 × ~400 bytes = 26 MiB, and one peer can have
# 512 of them only.
MAX_KEYS: Final = 4_096
MAX_PROVIDERS_PER_KEY: Final = 16
MAX_KEYS_PER_PEER: Final = 512
# Of them of one IPv4 /16 or IPv6 /32: peer ids cost nothing, so one rented network could have all sixteen.
MAX_PROVIDERS_PER_BLOCK: Final = 2
# Others forget after a day; so do we, and say it again after half of that.
PROVIDED_S: Final = 86_400.0
REPUBLISH_S: Final = 43_200.0

# A look-up asks at most so many peers and brings at most so many providers: each is a dial.
MAX_ASKED: Final = 20
MAX_FOUND: Final = 8
# Of one teller, and of one block: so it takes four tellers to end a search before all the nearest were asked.
MAX_FOUND_PER_TELLER: Final = 2
MAX_FOUND_PER_BLOCK: Final = 2
# Peers to ask that one teller may name: so it takes four of them to fill a search, and one cannot draw it to its own.
# What it names beyond that is asked when there is nobody else: where all are of one network they are one teller.
MAX_NAMED_PER_TELLER: Final = MAX_ASKED // 4


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer and where it says it is."""

    peer_id: str
    addresses: tuple[str, ...]
    block: str = ""  # of the address it was seen at, as in ``addresses.Address``; empty for one's own network


def account_key(network: str, account: Cid) -> bytes:
    """What an account is looked up under; another network's accounts have other keys."""
    return hashlib.sha256(f"/unhush/{network}/".encode() + account.bytes).digest()


def position(name: bytes) -> int:
    """Where a key or a peer stands in the space of distances."""
    return int.from_bytes(hashlib.sha256(name).digest(), "big")


# Contacts are sorted for every answer; hashing their names anew is most of the work.
@lru_cache(maxsize=8_192)
def _position_of(peer_id: str) -> int:
    return position(peer_id.encode())


class Contacts:
    """Peers to ask, more of those near to us than of those far away."""

    def __init__(self, own_peer_id: str) -> None:
        self._own = _position_of(own_peer_id)
        self._own_id = own_peer_id
        self._buckets: dict[int, OrderedDict[str, Contact]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def met(self, contact: Contact) -> bool:
        """We spoke with this peer; false if there is no place for it. Who is known longest stays: it lasts longest."""
        if contact.peer_id == self._own_id or not contact.addresses:
            return False
        bucket = self._buckets.setdefault(self._bucket_of(contact.peer_id), OrderedDict())
        if contact.peer_id in bucket:
            bucket[contact.peer_id] = contact
            return True
        same_block = sum(1 for other in bucket.values() if other.block == contact.block) if contact.block else 0
        if len(bucket) >= MAX_PER_BUCKET or len(self) >= MAX_CONTACTS or same_block >= MAX_PER_BLOCK:
            return False
        bucket[contact.peer_id] = contact
        return True

    def failed(self, peer_id: str) -> None:
        """It did not answer: its place is free."""
        self._buckets.get(self._bucket_of(peer_id), OrderedDict()).pop(peer_id, None)

    def closest(self, key: bytes, count: int = CLOSEST) -> list[Contact]:
        """The contacts nearest to a key, nearest first."""
        target = position(key)
        known = (contact for bucket in self._buckets.values() for contact in bucket.values())
        return sorted(known, key=lambda contact: _position_of(contact.peer_id) ^ target)[:count]

    def _bucket_of(self, peer_id: str) -> int:
        return (self._own ^ _position_of(peer_id)).bit_length()


class Providers:
    """Who said that it carries what; time is an argument."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[bytes, OrderedDict[str, tuple[Contact, float]]] = OrderedDict()
        self._keys_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def add(self, key: bytes, provider: Contact, now: float) -> bool:
        """Note one; false if there is no place.

        Two of one block have places. When all are taken, who has not said it again when it should have gives way,
        and then the older of two of one block, to a newcomer of another.
        """
        self._drop_expired(now)
        held = self._by_key.get(key)
        if held is not None and provider.peer_id in held:
            held[provider.peer_id] = (provider, now + PROVIDED_S)
            held.move_to_end(provider.peer_id)
            return True
        if self._keys_of[provider.peer_id] >= MAX_KEYS_PER_PEER:
            return False
        if held is None:
            if len(self._by_key) >= MAX_KEYS:
                return False
            held = self._by_key[key] = OrderedDict()
        elif not self._make_room(held, provider.block, now):
            return False
        held[provider.peer_id] = (provider, now + PROVIDED_S)
        self._keys_of[provider.peer_id] += 1
        return True

    def of(self, key: bytes, now: float, is_connected: Callable[[str], bool] = lambda _: False) -> list[Contact]:
        """Who carries it: first whom we are connected with, and of those and of the others the last to say so."""
        held = self._by_key.get(key, OrderedDict())
        newest = [contact for contact, until in reversed(held.values()) if until > now]
        return sorted(newest, key=lambda contact: not is_connected(contact.peer_id))

    def _make_room(self, held: OrderedDict[str, tuple[Contact, float]], block: str, now: float) -> bool:
        near = [peer_id for peer_id, (contact, _) in held.items() if block and contact.block == block]
        if len(near) >= MAX_PROVIDERS_PER_BLOCK:
            rivals = near
        elif len(held) >= MAX_PROVIDERS_PER_KEY:
            rivals = list(held)
        else:
            return True
        oldest = rivals[0]
        if held[oldest][1] - now > PROVIDED_S - REPUBLISH_S - _GRACE_S:  # it has said so in time
            by_block = Counter(contact.block for contact, _ in held.values() if contact.block)
            crowded = [peer_id for peer_id in rivals if by_block[held[peer_id][0].block] > 1]
            if near or not crowded:
                return False
            oldest = crowded[0]
        del held[oldest]
        self._forget_key_of(oldest)
        return True

    def _forget_key_of(self, peer_id: str) -> None:
        self._keys_of[peer_id] -= 1
        if not self._keys_of[peer_id]:
            del self._keys_of[peer_id]

    def _drop_expired(self, now: float) -> None:
        """Within a key the oldest stand first; keys are gone through a few at a time, from the front."""
        for key in list(islice(self._by_key, _SWEPT)):
            held = self._by_key[key]
            while held and next(iter(held.values()))[1] <= now:
                peer_id, _ = held.popitem(last=False)
                self._forget_key_of(peer_id)
            if held:
                self._by_key.move_to_end(key)
            else:
                del self._by_key[key]


_SWEPT: Final = 4
# Who says it again every half day, may be late by an hour: it tells many accounts one after the other.
_GRACE_S: Final = 3_600.0


@dataclass(slots=True)
class Lookup:
    """One search: ask the nearest known, learn of nearer ones, until the nearest have all been asked.

    Of the peers to ask that one teller names the nearest few are taken before others, of the carriers two: which, the
    salt decides, so nobody can count on being one of them. Tellers of one /16 are one.
    """

    key: bytes
    own_peer_id: str
    salt: bytes = b""
    known: dict[str, Contact] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    found: dict[str, tuple[Contact, str]] = field(default_factory=dict)  # a provider, and who told of it
    _named: Counter[str] = field(default_factory=Counter, init=False)  # how many to ask came of a teller
    _beyond: dict[str, Contact] = field(default_factory=dict, init=False)  # named beyond that

    def learn(self, contacts: Iterable[Contact]) -> None:
        """Peers that may know more."""
        self._put(self.known, contacts)

    def _put(self, among: dict[str, Contact], contacts: Iterable[Contact]) -> None:
        target = position(self.key)
        for contact in contacts:
            if contact.peer_id != self.own_peer_id and contact.addresses and contact.peer_id not in among:
                among[contact.peer_id] = contact
        if len(among) > _MAX_KNOWN:
            for peer_id in sorted(among, key=lambda peer_id: _position_of(peer_id) ^ target)[_MAX_KNOWN:]:
                del among[peer_id]

    @property
    def _is_over(self) -> bool:
        return len(self.asked) >= MAX_ASKED or len(self.found) >= MAX_FOUND

    def next(self) -> Contact | None:
        """Whom to ask now; it counts as asked."""
        if self._is_over:
            return None
        for contact in self.nearest():
            if contact.peer_id not in self.asked:
                self.asked.add(contact.peer_id)
                return contact
        return None

    def beyond(self) -> list[Contact]:
        """Whom to ask when there is nobody next and all have answered: named beyond the share of who told of them."""
        if self._is_over:
            return []
        target = position(self.key)
        left = [contact for contact in self._beyond.values() if contact.peer_id not in self.known]
        left.sort(key=lambda contact: _position_of(contact.peer_id) ^ target)
        self.learn(left[: min(AT_A_TIME, MAX_ASKED - len(self.asked))])
        return [contact for _ in range(AT_A_TIME) if (contact := self.next()) is not None]

    def nearest(self) -> list[Contact]:
        """The nearest that have not failed, nearest first."""
        target = position(self.key)
        alive = (contact for peer_id, contact in self.known.items() if peer_id not in self.gone)
        return sorted(alive, key=lambda contact: _position_of(contact.peer_id) ^ target)[:CLOSEST]

    def answered(self, told_by: str, providers: Sequence[Contact], closer: Sequence[Contact]) -> None:
        """A peer, connected at ``told_by``, named carriers and peers nearer to the key."""
        teller = block_of(told_by) or told_by
        by_teller = Counter(block_of(told) or told for _, told in self.found.values())
        by_block = Counter(contact.block for contact, _ in self.found.values())
        for provider in sorted(providers, key=lambda each: position(self.salt + each.peer_id.encode())):
            is_new = provider.peer_id != self.own_peer_id and provider.peer_id not in self.found
            if not is_new or (provider.block and by_block[provider.block] >= MAX_FOUND_PER_BLOCK):
                continue
            if by_teller[teller] >= MAX_FOUND_PER_TELLER or len(self.found) >= MAX_FOUND:
                break
            self.found[provider.peer_id] = (provider, told_by)
            by_teller[teller] += 1
            by_block[provider.block] += 1
        self._learn_from(teller, closer)

    def _learn_from(self, teller: str, closer: Iterable[Contact]) -> None:
        target = position(self.key)
        fresh = [each for each in closer if each.addresses and each.peer_id not in self.known]
        fresh.sort(key=lambda each: _position_of(each.peer_id) ^ target)
        share = MAX_NAMED_PER_TELLER - self._named[teller]
        self._named[teller] += len(fresh[:share])
        self.learn(fresh[:share])
        self._put(self._beyond, fresh[share:])

    def failed(self, peer_id: str) -> None:
        self.gone.add(peer_id)


_MAX_KNOWN: Final = 64
