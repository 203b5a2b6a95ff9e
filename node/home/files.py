"""Accounts as files: CAR out, CAR in, and the independent check of every CID in between."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from unhush.identity.cid import Cid
from unhush.node.errors import MalformedCar, NotFound
from unhush.node.wholefiles import whole_file
from unhush.storage.arrivals import Batch, Status
from unhush.storage.car import CarContents, CarReader, write_car
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.store import Store

log = logging.getLogger(__name__)

# Records per commit on import: about 1 MiB of posts.
STEP: Final = 1_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: records new here, known before, and left aside with the first reason."""

    stored: int
    known: int
    refused: int
    accounts: tuple[Cid, ...]
    first_problem: str = ""
    cards: int = 0  # contact cards that are held here now, or newer ones of the same devices
    refused_cards: int = 0


def export_car(store: Store, path: Path, account: Cid, *, force: bool = False) -> CarContents:
    """Write an account to a file, whole or not at all; over one that is there only with ``force``.

    Raises ``FileExists``, ``NotFound``, ``StorageError``.
    """
    with whole_file(path, force=force) as file, store.snapshot() as snapshot:
        if snapshot.account(account) is None:
            raise NotFound(f"no account {account} is kept here")
        return write_car(file, snapshot, account)


def import_car(
    store: Store, path: Path, on_progress: Callable[[int], None] = lambda _: None, *, now_ms: int
) -> Imported:
    """Take a file in through the same doors as everything else; raises ``MalformedCar``, ``NotFound``.

    The whole file is checked before the first record is stored. Cards are judged as from any peer.
    """
    stored = known = refused = 0
    problem = ""
    with opened_car(path) as file:
        reader = CarReader(file, independent_cid_check())
        arrivals = reader.arrivals()
        while step := tuple(islice(arrivals, STEP)):
            for outcome in store.ingest(Batch(step, str(path), wanted_only=False)):
                stored += outcome.status in (Status.STORED, Status.FILLED)
                known += outcome.status is Status.KNOWN
                if outcome.status in (Status.REJECTED, Status.IGNORED):
                    refused += 1
                    problem = problem or outcome.error
            on_progress(stored + known + refused)
        cards = Counter(map(_is_taken, store.statements.take(_signed(reader.cards()), now_ms)))
    log.info("car taken in stored=%d known=%d refused=%d cards=%d file=%s", stored, known, refused, cards[True], path)
    with store.snapshot() as snapshot:
        accounts = tuple(root for root in reader.contents.roots if snapshot.account(root) is not None)
    return Imported(stored, known, refused, accounts, problem, cards[True], reader.contents.cards - cards[True])


@contextmanager
def opened_car(path: Path) -> Iterator[BinaryIO]:
    """A file to read; raises ``NotFound``, ``MalformedCar`` if it cannot be."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise MalformedCar(f"{path} cannot be read: {exc.strerror}") from exc


def _signed(cards: Iterable[bytes]) -> list[SignedStatement]:
    """Who may speak for an account say its operations, which are in the file too."""
    return [SignedStatement(card) for card in cards]


def _is_taken(took: Took) -> bool:
    return took in {Took.STORED, Took.KNOWN, Took.OLDER}


def independent_cid_check() -> Callable[[bytes, bytes], bool]:
    """A judge of (CID bytes, block) made of the multiformats library alone, none of our code."""
    from multiformats import CID, multihash  # lazy: it costs a tenth of a second, and only this needs it

    def check(name: bytes, block: bytes) -> bool:
        try:
            cid = CID.decode(name)
            return bool(cid.version == 1 and cid.digest == multihash.digest(block, "sha2-256"))
        except (ValueError, KeyError):
            return False

    return check
