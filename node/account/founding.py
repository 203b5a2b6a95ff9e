"""Making an account: the words, the device key, the inception and the first profile.

The order is such that a crash anywhere loses nothing a person relies on: the
key file and the kept words are on disk before the account exists.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unhush.identity.building import build_inception
from unhush.identity.cid import Cid
from unhush.identity.errors import BadWords
from unhush.identity.keys import PublicKey, SigningKey, self_test
from unhush.identity.operations import MAX_NAME_BYTES
from unhush.identity.words import ENTROPY_BYTES, Words, parse_words
from unhush.node.account.secrets import Keys
from unhush.node.config import Config, Home
from unhush.node.errors import AccountExists, BadConfig, KeyFileError
from unhush.node.lock import HomeLock
from unhush.storage.keyfile import make_private_dir, read_private, write_new_private, write_private
from unhush.storage.kinds import Profile
from unhush.storage.publish import Publisher
from unhush.storage.store import Store


@dataclass(frozen=True, slots=True)
class Created:
    """A new account; ``words_at`` is where the recovery words were kept, None if the caller shows them."""

    account: Cid
    device: PublicKey
    name: str
    words_at: Path | None


def generate_words(config: Config) -> Words:
    """New recovery words."""
    return Words(config.random_bytes(ENTROPY_BYTES))


def found_account(
    config: Config,
    name: str,
    *,
    words: Words | None = None,
    words_to: Path | None = None,
    keep_root: bool = False,
) -> Created:
    """Make the account of a home; its keys are sealed if ``config.passphrase`` can be asked.

    Whoever gives ``words`` has shown them to the person; with ``words_to`` they wait there all the same, until the
    person has proved to have them on paper. Otherwise they are made here and kept in ``words_to``, or the home's
    ``words.txt``, readable by the owner alone. With ``keep_root`` the root key stays on this machine,
    sealed. Raises ``AccountExists``, ``KeyFileError``, ``MalformedRecord`` for a name that is too long.
    """
    self_test()
    profile = _parse_name(name)
    home = Home(config.home)
    with _alone(config) as store:
        kept_at = words_to
        if words is None:
            kept_at = words_to or home.words
            words = _keep_words(config, store, home, kept_at)
        elif kept_at is not None:
            write_new_private(kept_at, words.text().encode() + b"\n")
        if kept_at is not None:
            # Before the account: no crash makes one that reminds nobody of its words. And before the keys, which take
            # their time: a second attempt knows the file by this.
            store.put_words_at(kept_at)
        keys = Keys(config)
        keys.clear_unfinished(words.root(0).public, sealed=config.passphrase is not None)
        device = keys.make_device(sealed=config.passphrase is not None)
        if config.passphrase is not None:
            keys.seal_device()
        if keep_root:
            keys.keep_root(words.root(0))
        inception = build_inception(
            words,
            device=device.public,
            name=_device_name(profile.name),
            time_ms=config.clock_ms(),
            salt=config.random_bytes(16),
            network=config.network,
        )
        store.found_account(publisher(config, device), inception, profile)
        return Created(inception.entry.account, device.public, profile.name, kept_at)


@contextmanager
def _alone(config: Config) -> Iterator[Store]:
    """The empty home for us alone: two at once would each make a device key, and one of them the account."""
    make_private_dir(config.home)
    lock = HomeLock(config.home, f"another process is just making the account of {config.home}")
    try:
        with _open_empty(config) as store:
            yield store
    finally:
        lock.release()


def check_home(config: Config, name: str) -> None:
    """Raise what ``found_account`` would, before any words are made or any passphrase is asked for."""
    _parse_name(name)
    _open_empty(config).close()


def _parse_name(name: str) -> Profile:
    profile = Profile(name.strip())
    if not profile.name:
        raise BadConfig("a name has at least one character")
    return profile


def _open_empty(config: Config) -> Store:
    """The store of a home without account; raises ``AccountExists``."""
    make_private_dir(config.home)
    store = Store(config.home, network=config.network, clock_ms=config.clock_ms)
    with store.snapshot() as snapshot:
        own, is_requested = snapshot.own_account(), snapshot.is_requested()
    if own is None and is_requested:
        store.close()
        raise BadConfig(
            f"{config.home} has asked to become a device of an account: unhush device join ACCOUNT; "
            "for an account of its own take another home"
        )
    if own is not None:
        store.close()
        raise AccountExists(f"{config.home} has an account already: {own}")
    return store


def publisher(config: Config, device: SigningKey) -> Publisher:
    return Publisher(device, network=config.network, clock_ms=config.clock_ms, random_bytes=config.random_bytes)


def _keep_words(config: Config, store: Store, home: Home, path: Path) -> Words:
    """Write new words; those of this home that a crash left before their account existed are used again."""
    words = generate_words(config)
    try:
        write_new_private(path, words.text().encode() + b"\n")
    except KeyFileError:
        with store.snapshot() as snapshot:
            is_ours = path == home.words or path.resolve() == snapshot.words_at()
        if not is_ours or not path.exists():
            raise
        kept = read_private(path)
        if not kept:  # a crash between the making of the file and its first byte
            write_private(path, words.text().encode() + b"\n")
            return words
        try:
            return parse_words(kept.decode("ascii", "replace"))
        except BadWords as exc:
            raise KeyFileError(f"{path} exists and holds no recovery words; nothing was written over it") from exc
    return words


def _device_name(name: str) -> str:
    """The first device bears the person's name, cut where the protocol ends device names."""
    return name.encode()[:MAX_NAME_BYTES].decode("utf-8", "ignore")
