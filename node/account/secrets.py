"""Where secrets come from: the passphrase, asked for once; the words, for one act; the keys that they open.

A node keeps in memory what it must sign with while it runs: its device key, and
the passphrase if somebody gave it. Words and turn keys live only inside the one
call that needs them.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from unhush.identity.errors import BadWords
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import Table
from unhush.identity.trunk import State
from unhush.identity.words import Words, parse_words
from unhush.node.config import Config, Home
from unhush.node.errors import BadPassphrase, KeyFileError, KeySealed, NoKey, WordsNeeded, WrongPassphrase
from unhush.storage.hygiene import forbid_core_dumps
from unhush.storage.keyfile import (
    MAX_PASSPHRASE_BYTES,
    KeyFileFacts,
    encode_key,
    erase_private,
    read_key,
    read_private,
    read_public,
    write_all_private,
    write_private,
)

__all__ = [
    "DEVICE",
    "PEER",
    "ROOT",
    "Keys",
    "check_passphrase",
    "check_words",
    "forbid_core_dumps",
    "parse_words",
    "read_passphrase",
    "read_words",
]

log = logging.getLogger(__name__)

DEVICE = "device"
PEER = "peer"
ROOT = "root"
# A person may mistype twice; whoever guesses has the file and does not ask us.
MAX_TRIES = 3


class Keys:
    """The key files of one home, and the passphrase that opens them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._home = Home(config.home)
        self._lock = threading.Lock()
        self._passphrase: str | None = None
        self._device: SigningKey | None = None
        self._is_root_shut = False  # the root key kept here was tried, and cannot be opened

    # -- the device key

    def has_device(self) -> bool:
        """Whether there is a device key, usable or not: a home made of a backup has none."""
        return self._home.device_key.exists()

    def device_facts(self) -> KeyFileFacts:
        """Whose key it is and whether it is sealed, without opening it; raises ``KeyFileError``: ``NoKey`` if none."""
        if not self.has_device():
            raise NoKey
        return read_public(self._home.device_key, DEVICE)

    def device(self) -> SigningKey:
        """The key this device signs with; asks for the passphrase if it is sealed."""
        with self._lock:
            # Another process may have renewed the key of this home.
            facts = self.device_facts()
            if self._device is None or self._device.public != facts.public:
                self._device = self._read(self._home.device_key, DEVICE)
            return self._device

    def is_device_open(self) -> bool:
        """Whether the device key can sign without anybody being asked for a passphrase."""
        try:
            facts = self.device_facts()
        except KeyFileError:
            return False
        device = self._device
        return not facts.is_sealed or (device is not None and device.public == facts.public)

    def make_device(self, *, sealed: bool) -> SigningKey:
        """The key of a new device, or the one that an earlier, unfinished attempt left, as it is."""
        if self._home.device_key.exists():
            return self.device()
        return self._make(self._home.device_key, sealed=sealed)

    def clear_unfinished(self, root: PublicKey, *, sealed: bool) -> None:
        """Before the home has an account: erase keys of an unfinished attempt that the new account could not use.

        Such a key opens with another passphrase, is sealed where none is wanted, or is of other words than ``root``.
        No account lists the device key and the words give the root key, so nothing is lost with them.
        """
        device, kept = self._home.device_key, self._home.root_key
        if device.exists() and not self._opens(device, DEVICE, sealed=sealed):
            erase_private(device)
        if kept.exists() and (self.keeps_root() != root or not self._opens(kept, ROOT, sealed=sealed)):
            erase_private(kept)

    def seal_device(self) -> None:
        """Seal a device key that is not: an unfinished attempt may have left one where a passphrase is wanted now."""
        if not self.device_facts().is_sealed:
            self._write(self._home.device_key, DEVICE, self.device(), self.passphrase())

    def make_next_device(self) -> SigningKey:
        """The key that will take the place of this device's, sealed if that is; ``use_next_device`` puts it there."""
        path = self._home.next_device_key
        if path.exists():
            return self._read(path, DEVICE)
        return self._make(path, sealed=self.device_facts().is_sealed)

    def use_next_device(self) -> None:
        """Put the next key in the place of the old, which goes for good."""
        with self._lock:
            with suppress(FileNotFoundError):  # another process that opened the home meanwhile has done it
                self._home.next_device_key.replace(self._home.device_key)
            self._device = None

    def finish_change(self, writes_with: PublicKey | None) -> None:
        """After a crash between the store's change of device and that of the file: do the second half."""
        path = self._home.next_device_key
        if writes_with is None or not path.exists():
            return
        if read_public(path, DEVICE).public == writes_with and self.device_facts().public != writes_with:
            self.use_next_device()

    # -- the root key

    def keeps_root(self) -> PublicKey | None:
        """The root key kept here, sealed; None if there is none."""
        return read_public(self._home.root_key, ROOT).public if self._home.root_key.exists() else None

    def root_problem(self) -> str:
        """Why a root key is kept here and cannot be used, as far as its file tells; empty if all is well."""
        try:
            self.keeps_root()
        except KeyFileError as exc:
            return str(exc)
        return ""

    def can_open_root(self) -> bool:
        """Whether the root key is kept here and its passphrase known, so that nobody need be asked."""
        if self._passphrase is None or self._is_root_shut or self.root_problem():
            return False
        return self.keeps_root() is not None

    def unlock(self) -> None:
        """Ask for the passphrase now if any key here is sealed, and open the device key.

        A root key that cannot be opened is only reported: nothing that a node does every day needs it.
        """
        self.device()
        self._is_root_shut = False
        try:
            if self.keeps_root() is not None:
                # Tried once and nobody asked again: the device key has just shown that the passphrase is right.
                read_key(self._home.root_key, ROOT, self.passphrase)
        except KeyFileError as exc:
            self._is_root_shut = True
            log.error("the root key kept here cannot be used: %s; to keep it anew: unhush id root keep", exc)

    def keep_root(self, root: SigningKey) -> None:
        """Keep a root key, always sealed."""
        self._write(self._home.root_key, ROOT, root, self.sealing_passphrase())
        self._is_root_shut = False

    def forget_root(self) -> bool:
        """Remove the root key, also one that cannot be read; False if there was none."""
        was_kept = self._home.root_key.exists()
        self._home.root_key.unlink(missing_ok=True)
        return was_kept

    def root(self, incept: Table, state: State, words: Words | None) -> SigningKey:
        """The root key of the table that stands, from the words or the sealed file."""
        if words is not None:
            check_words(incept, words)
            key = words.root(state.generation)
            if key.public != state.root:
                raise BadWords("the table that stands names another root key than the words give")
            return key
        kept = self.keeps_root()
        if kept is None:
            raise WordsNeeded("this needs your 24 words: the root key is not kept on this machine")
        if kept != state.root:
            raise WordsNeeded("this needs your 24 words: the root key kept here is of an earlier generation")
        return self._read(self._home.root_key, ROOT)

    # -- the passphrase

    def passphrase(self) -> str:
        """Asked for once; raises ``KeySealed`` if nobody can be asked."""
        if self._passphrase is None:
            if self._config.passphrase is None:
                raise KeySealed(self._home.path)
            self._passphrase = self._config.passphrase()
        return self._passphrase

    def sealing_passphrase(self) -> str:
        """The passphrase, tried on the device key: nothing is ever sealed under a typing error."""
        if not self.device_facts().is_sealed:
            raise KeyFileError("a root key is kept sealed or not at all; set a passphrase first: unhush id passphrase")
        self._read(self._home.device_key, DEVICE)
        return self.passphrase()

    def change_passphrase(self, new: Callable[[], str] | None) -> None:
        """Seal every key of the home anew; None takes the seal off, which a root key does not permit."""
        home = self._home
        device = self._read(home.device_key, DEVICE)
        if new is None and home.root_key.exists():
            raise KeyFileError("a root key is kept sealed or not at all; first: unhush id root forget")
        passphrase = new() if new is not None else None
        # The device key last: until it is replaced the old passphrase starts the node, and the same change once more
        # finishes what a kill between two files left.
        others = [(home.root_key, ROOT), (home.next_device_key, DEVICE)]
        keys = [(path, kind, self._read_either(path, kind, passphrase)) for path, kind in others if path.exists()]
        keys.append((home.device_key, DEVICE, device))
        write_all_private([(path, self._encode(kind, key, passphrase)) for path, kind, key in keys])
        self._passphrase = passphrase
        self._is_root_shut = False

    def _read_either(self, path: Path, kind: str, new: str | None) -> SigningKey:
        """The key of a file that a change of passphrase, killed half-way, may have sealed with the new one already."""
        if new is not None:
            with suppress(WrongPassphrase):
                return read_key(path, kind, lambda: new)
        return self._read(path, kind)

    def _opens(self, path: Path, kind: str, *, sealed: bool) -> bool:
        """Whether a key file is of use where a passphrase is given, or none is."""
        if not read_public(path, kind).is_sealed:
            return True
        if not sealed:
            return False
        try:
            read_key(path, kind, self.passphrase)
        except WrongPassphrase:
            return False
        return True

    def _read(self, path: Path, kind: str) -> SigningKey:
        for tries in range(1, MAX_TRIES + 1):
            try:
                return read_key(path, kind, self.passphrase)
            except WrongPassphrase:
                refused, self._passphrase = self._passphrase, None  # whoever tries again is asked again
                # A file says the same each time; only a person has something else to say.
                if tries == MAX_TRIES or self.passphrase() == refused:
                    self._passphrase = None
                    raise
        raise AssertionError("the last try returns or raises")

    def _make(self, path: Path, *, sealed: bool) -> SigningKey:
        key = SigningKey(self._config.random_bytes(32))
        self._write(path, DEVICE, key, self.passphrase() if sealed else None)
        return key

    def _write(self, path: Path, kind: str, key: SigningKey, passphrase: str | None) -> None:
        write_private(path, self._encode(kind, key, passphrase))

    def _encode(self, kind: str, key: SigningKey, passphrase: str | None) -> bytes:
        sealing, random_bytes = self._config.sealing, self._config.random_bytes
        return encode_key(kind, key, passphrase=passphrase, sealing=sealing, random_bytes=random_bytes)


def read_passphrase(path: Path) -> str:
    """The first line of a file that its owner alone can read; raises ``KeyFileError``: ``BadPassphrase`` if empty."""
    line = _read_given(path).split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        passphrase = line.decode()
    except UnicodeDecodeError:
        raise BadPassphrase(f"the first line of {path} is not UTF-8 text") from None  # that error quotes the line
    if not passphrase:
        raise BadPassphrase(f"the first line of {path} is empty, and the passphrase should stand there")
    return check_passphrase(passphrase)


def check_passphrase(passphrase: str) -> str:
    """Raise ``BadPassphrase`` for what no key could be sealed with, before anything is done with it."""
    try:
        size = len(passphrase.encode())
    except UnicodeEncodeError:
        raise BadPassphrase("a passphrase is Unicode text") from None
    if not 1 <= size <= MAX_PASSPHRASE_BYTES:
        raise BadPassphrase(f"a passphrase has 1 to {MAX_PASSPHRASE_BYTES} bytes in UTF-8")
    return passphrase


def read_words(path: Path) -> Words:
    """The recovery words in a file that its owner alone can read; raises ``KeyFileError``, ``BadWords``."""
    try:
        return parse_words(_read_given(path).decode("ascii", "replace"))
    except BadWords as exc:
        raise BadWords(f"{path}: {exc}") from exc


def _read_given(path: Path) -> bytes:
    if not path.exists():
        raise KeyFileError(f"there is no file {path}")
    return read_private(path)


def check_words(incept: Table, words: Words) -> None:
    """Raise ``BadWords`` unless an account was founded with these words."""
    if words.root(0).public != incept.root:
        raise BadWords("these are the words of another account")
