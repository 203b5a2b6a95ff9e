"""Fingerprints: what a node holds of all accounts it carries, in a tree of hashes that two nodes can compare.

The tree goes by the nibbles of an account's digest: up to ``BUCKET`` accounts
stand together in a leaf, more are divided 16-fold by their next nibble. The
shape follows from the set alone, whatever its history, so two nodes with the
same accounts in the same state have the same tree. A leaf is hashed over its
accounts and their states, an inner node over its children (Merkle). Nothing is
hashed before somebody asks: a change costs a walk down, and the hashes along
that walk are taken when they are next compared.

One tree serves all sessions of a node; it has no secret. Sums of hashes, as
other range-based reconcilers use them, would serve as well were they not
linear: who may write some hundred accounts can choose states that cancel out
(Wagner's generalised birthday; 2^36 steps for 256 accounts and sums modulo
2^256). Here a collision is one of SHA-256.

Accounts also get a number, for ever, so that a session may remember a bit of
each instead of each (``Marks``).
"""

from collections.abc import Iterator
from hashlib import sha256
from struct import pack
from typing import Final

from unhush.gossip.proto.events import SummaryRead
from unhush.gossip.proto.ranges import NOTHING
from unhush.identity.cid import Cid

# Accounts in a leaf: about what it costs to list them is what it costs to divide them once more.
BUCKET: Final = 32
FANOUT: Final = 16
MAX_DEPTH: Final = 64  # nibbles of a digest

EMPTY: Final = bytes(32)  # the hash of no accounts
_DIGEST_AT: Final = 4  # where the digest begins in the bytes of a CID


def state_of(wanted: SummaryRead, served: SummaryRead | None = None) -> bytes:
    """32 bytes that are equal on two nodes iff neither can give the other anything of the account.

    ``wanted`` is the summary a want would be made of. What is served beyond it (entries whose body is still wanted)
    counts apart: whoever lacks such an entry altogether holds less.
    """
    parts = [b"%d" % len(wanted.ops), *sorted(cid.bytes for cid in wanted.ops)]
    beyond = served.logs if served is not None else {}
    for key in sorted(wanted.logs.keys() | beyond.keys()):
        held = wanted.logs.get(key, NOTHING)
        more = beyond[key].subtract(held) if key in beyond else NOTHING
        if not held and not more:
            continue
        numbers = [number for runs in (held, more) for pair in runs for number in pair]
        seq, tip = wanted.tips.get(key, (0, b""))
        fork = wanted.forks.get(key, -1)
        parts += [key.bytes, pack(">QQqQ", len(held), len(more), fork, seq), bytes([len(tip)]), tip]
        parts.append(pack(f">{len(numbers)}Q", *numbers))
    return sha256(b"".join(parts)).digest()


class _Node:
    """A leaf with its accounts, or 16 children; ``hash`` is None until somebody asks."""

    __slots__ = ("accounts", "children", "count", "hash")

    def __init__(self, accounts: list[Cid]) -> None:
        self.count = len(accounts)
        self.hash: bytes | None = None
        self.accounts = accounts
        self.children: list[_Node | None] | None = None


class AccountTree:
    """The accounts a node carries, each with 32 bytes that say what it holds of it.

    ``salt`` tells this node from every other: what it has not looked up is equal to nobody's.
    """

    def __init__(self, salt: bytes) -> None:
        self._salt: Final = salt
        self._states: Final[dict[Cid, bytes]] = {}
        self._numbers: Final[dict[Cid, int]] = {}  # also of accounts that are gone
        self._gone: Final[set[Cid]] = set()
        self._root = _Node([])
        self._spoilt = 0

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, account: object) -> bool:
        return account in self._states

    def __iter__(self) -> Iterator[Cid]:
        return iter(self._states)

    @property
    def numbered(self) -> int:
        """Every number given so far is below this."""
        return len(self._numbers)

    @property
    def gone(self) -> Iterator[Cid]:
        """The accounts that have a number and are in the tree no more."""
        return iter(self._gone)

    def number_of(self, account: Cid) -> int | None:
        """The number of an account that is or was in the tree."""
        return self._numbers.get(account)

    def state(self, account: Cid) -> bytes:
        """As it was put; raises ``KeyError``."""
        return self._states[account]

    # --- changes -----------------------------------------------------------------------------------------

    def put(self, account: Cid, state: bytes) -> None:
        """Say what is held of an account, new here or not."""
        before = self._states.get(account)
        if before == state:
            return
        self._states[account] = state
        if before is None:
            self._numbers.setdefault(account, len(self._numbers))
            self._gone.discard(account)
            self._insert(account)
        else:
            for node in self._path(account):
                node.hash = None

    def spoil(self, account: Cid) -> None:
        """What is held has changed and is yet to be looked up: until then no peer's state is equal to it."""
        if account in self._states:
            self._spoilt += 1
            self.put(account, sha256(b"%b %d" % (self._salt, self._spoilt)).digest())

    def drop(self, account: Cid) -> None:
        """It is carried no more."""
        if self._states.pop(account, None) is None:
            return
        self._gone.add(account)
        path = self._path(account)
        path[-1].accounts.remove(account)
        for node in path:
            node.count -= 1
            node.hash = None
        for node in path:
            if node.children is not None and node.count <= BUCKET:
                node.accounts = list(_iter_accounts(node))
                node.children = None
                return

    def _path(self, account: Cid) -> list[_Node]:
        """From the root to the leaf of an account that is in the tree."""
        node, path, depth = self._root, [self._root], 0
        while node.children is not None:
            child = node.children[_nibble(account, depth)]
            assert child is not None, "an account leads to a leaf"
            node, depth = child, depth + 1
            path.append(node)
        return path

    def _insert(self, account: Cid) -> None:
        node, depth = self._root, 0
        while node.children is not None:
            node.count += 1
            node.hash = None
            at = _nibble(account, depth)
            child = node.children[at]
            if child is None:
                child = node.children[at] = _Node([])
            node, depth = child, depth + 1
        node.accounts.append(account)
        node.count += 1
        node.hash = None
        if node.count > BUCKET:
            _divide(node, depth)

    # --- looking -----------------------------------------------------------------------------------------

    def count(self, prefix: bytes) -> int:
        """How many accounts begin with these nibbles (each a byte from 0 to 15)."""
        found = self._find(prefix)
        return found.count if isinstance(found, _Node) else len(found)

    def items(self, prefix: bytes) -> list[Cid]:
        """The accounts that begin with these nibbles, ascending."""
        found = self._find(prefix)
        accounts = _iter_accounts(found) if isinstance(found, _Node) else found
        return sorted(accounts, key=_bytes_of)

    def find(self, prefix: bytes, piece: bytes) -> list[Cid]:
        """The accounts that begin with these nibbles and have ``piece`` in their digest, as ``cut_piece`` cuts it."""
        whole = len(prefix) & ~1
        nibbles = prefix[:whole] + bytes(nibble for byte in piece for nibble in (byte >> 4, byte & 15))
        return self.items(nibbles) if nibbles.startswith(prefix) else []

    def children(self, prefix: bytes) -> list[bytes]:
        """The hashes of the 16 parts into which the next nibble divides what begins with ``prefix``."""
        found = self._find(prefix)
        if isinstance(found, _Node) and found.children is not None:
            return [self._hash(child) if child is not None else EMPTY for child in found.children]
        groups: list[list[Cid]] = [[] for _ in range(FANOUT)]
        for account in found.accounts if isinstance(found, _Node) else found:
            groups[_nibble(account, len(prefix))].append(account)
        return [self._hash_accounts(group) if group else EMPTY for group in groups]

    def _find(self, prefix: bytes) -> "_Node | list[Cid]":
        """The node that holds just what begins with ``prefix``, or those accounts of a leaf above it."""
        node = self._root
        for depth, nibble in enumerate(prefix):
            if node.children is None:
                return [each for each in node.accounts if _begins(each, prefix, depth)]
            child = node.children[nibble]
            if child is None:
                return []
            node = child
        return node

    def _hash(self, node: _Node) -> bytes:
        if node.hash is None:
            if node.children is None:
                node.hash = self._hash_accounts(node.accounts) if node.count else EMPTY
            elif not node.count:
                node.hash = EMPTY
            else:
                hashes = [self._hash(child) if child is not None else EMPTY for child in node.children]
                node.hash = sha256(b"\x01" + b"".join(hashes)).digest()
        return node.hash

    def _hash_accounts(self, accounts: list[Cid]) -> bytes:
        states = self._states
        rows = sorted(account.bytes + states[account] for account in accounts)
        return sha256(b"\x00" + b"".join(rows)).digest()


class Marks:
    """A set of accounts that have a number in a tree, as one bit each; others are never in it."""

    __slots__ = ("_bits", "_tree")

    def __init__(self, tree: AccountTree, *, is_full: bool = False) -> None:
        """Of none, or of all that are in the tree now."""
        self._tree: Final = tree
        self._bits = bytearray((b"\xff" if is_full else b"\x00") * (tree.numbered // 8))
        if is_full and tree.numbered % 8:
            self._bits.append((1 << tree.numbered % 8) - 1)
        if is_full:
            for account in tree.gone:
                self.discard(account)

    def __contains__(self, account: Cid) -> bool:
        number = self._tree.number_of(account)
        if number is None or number >> 3 >= len(self._bits):
            return False
        return bool(self._bits[number >> 3] >> (number & 7) & 1)

    def __iter__(self) -> Iterator[Cid]:
        """Those that are in the tree now; it takes a look at each account there is."""
        return (account for account in self._tree if account in self)

    def add(self, account: Cid) -> bool:
        """False if it has no number, so that it cannot be remembered here."""
        number = self._tree.number_of(account)
        if number is None:
            return False
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes((number >> 3) + 1 - len(self._bits)))
        self._bits[number >> 3] |= 1 << (number & 7)
        return True

    def discard(self, account: Cid) -> None:
        number = self._tree.number_of(account)
        if number is not None and number >> 3 < len(self._bits):
            self._bits[number >> 3] &= ~(1 << (number & 7))

    def copy(self) -> "Marks":
        made = Marks(self._tree)
        made._bits = bytearray(self._bits)
        return made


def cut_piece(account: Cid, prefix: bytes, size_bytes: int) -> bytes:
    """What names an account among those that begin with the prefix."""
    at = _DIGEST_AT + len(prefix) // 2
    return account.bytes[at : at + size_bytes]


def _nibble(account: Cid, depth: int) -> int:
    byte = account.bytes[_DIGEST_AT + (depth >> 1)]
    return byte & 15 if depth & 1 else byte >> 4


def _begins(account: Cid, prefix: bytes, since: int) -> bool:
    return all(_nibble(account, depth) == prefix[depth] for depth in range(since, len(prefix)))


def _bytes_of(account: Cid) -> bytes:
    return account.bytes


def _divide(node: _Node, depth: int) -> None:
    """Make an inner node of a leaf that holds too many; what shares many nibbles is divided several times."""
    children: list[_Node | None] = [None] * FANOUT
    for account in node.accounts:
        at = _nibble(account, depth)
        child = children[at]
        if child is None:
            child = children[at] = _Node([])
        child.accounts.append(account)
        child.count += 1
    node.accounts = []
    node.children = children
    for child in children:
        if child is not None and child.count > BUCKET:
            _divide(child, depth + 1)


def _iter_accounts(node: _Node) -> Iterator[Cid]:
    if node.children is None:
        yield from node.accounts
        return
    for child in node.children:
        if child is not None:
            yield from _iter_accounts(child)
