"""The present state around an account, as far as it is known, and what of it is to vanish."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from unhush.gossip.errors import MalformedLosses
from unhush.gossip.proto.decisions import Acquaintance

MAX_LOST: Final = 64

_LOSS: Final = re.compile(r"(home|handle|bootstrap)|(peer|keeper):([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class Losses:
    """What is to vanish."""

    home: bool = False
    peers: int = 0  # the best connected machines that are neither the home nor keepers
    keepers: int = 0  # the best connected keepers
    handle: bool = False  # what new people find the account by: invites and pages that lead to the home
    bootstrap: bool = False


def parse_losses(text: str) -> Losses:
    """Read ``home,peer:2,keeper:1,handle,bootstrap``; raises ``MalformedLosses``."""
    lost: dict[str, Any] = {}
    for part in (part.strip() for part in text.split(",")):
        match = _LOSS.fullmatch(part)
        if match is None:
            raise MalformedLosses(part)
        plain, many, count = match.groups()
        if plain:
            lost[plain] = True
        elif not 1 <= int(count) <= MAX_LOST:
            raise MalformedLosses(part)
        else:
            lost[f"{many}s"] = int(count)
    return Losses(**lost)


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of one machine."""

    name: str
    is_carrier: bool  # of the account
    is_keeper: bool = False
    is_dialable: bool | None = None  # None: nobody tried
    block: str = ""  # its network, if known
    links: frozenset[str] = frozenset()  # machines it is connected with, or was lately, as far as known
    chosen: frozenset[str] = frozenset()  # those its person named
    book: frozenset[str] = frozenset()  # machines whose address it has besides
    hears: tuple[str, ...] | None = None  # machines the home told it of; None if it is not known
    own_card: frozenset[str] = frozenset()  # machines that a card of its own account names
    pictures: int = 0  # of the account's, that it promised to carry
    there_s: float = float("inf")  # it came so long ago, as far as known


@dataclass(frozen=True, slots=True)
class Situation:
    """The present state around an account."""

    home: str  # the machine its author writes on
    machines: tuple[Machine, ...]  # the home among them
    unplaced: int = 0  # followers known by name of whom no machine is known
    exchanges: bool = True  # machines tell each other of machines
    uses_dht: bool = False  # the home; of others nobody knows
    is_known: bool = False  # links and books are all there is, of every machine: nothing is to be drawn
    bootstrap: frozenset[str] = frozenset()  # machines called while nobody is connected
    card: frozenset[str] = frozenset()  # machines that the account's card names; empty if there is none
    has_words: bool = True  # the words are on paper, so the author can come back
    records_here: int = 0  # that nobody else was given yet
    pictures: int = 0


def machines_around(
    home: Machine, acquaintances: Iterable[Acquaintance], dialable: Mapping[str, bool]
) -> tuple[Machine, ...]:
    """The home and whoever it knows to be there, from what its chooser knows.

    ``dialable``: what came of trying each address just now. Who neither is connected nor answered nor was told of by
    somebody connected is taken to be gone.
    """
    known = tuple(acquaintances)
    told = {name for each in known for name in each.knows}
    there = [each for each in known if each.is_connected or dialable.get(each.peer_id) or each.peer_id in told]
    machines = [
        replace(
            home,
            links=home.links | {each.peer_id for each in there if each.is_connected},
            chosen=home.chosen | {each.peer_id for each in there if each.is_chosen},
            book=home.book | {each.peer_id for each in there if each.address},
        )
    ]
    for each in there:
        is_dialable = dialable.get(each.peer_id, True if each.is_connected and each.has_answered else None)
        there_s = each.connected_s if each.is_connected else float("inf")
        links = frozenset(each.knows)
        hears = each.hears if each.is_connected else None
        machines.append(
            Machine(each.peer_id, each.carries, is_dialable=is_dialable, links=links, hears=hears, there_s=there_s)
        )
    return tuple(machines)
