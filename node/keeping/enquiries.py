"""Enquiries under way: begun here or by another process of this home, which then asks how far they are."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from unhush.gossip.net.keep.enquiring import Enquiry
from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.node.keeping.auditing import MAX_MISSING, Asked

# Enquiries that somebody may still ask about.
MAX_ENQUIRIES: Final = 64


class Enquiries:
    """Of a running node; callable from any thread."""

    def __init__(self, enquire: Callable[[Cid, Sequence[Cid]], Enquiry]) -> None:
        self._enquire = enquire
        self._lock = threading.Lock()
        self._begun: OrderedDict[int, Enquiry] = OrderedDict()
        self._last = 0

    def begin(self, account: Cid, missing: Sequence[Cid]) -> Callable[[], Asked]:
        """Begin one; what is returned says how far it is."""
        enquiry = self._enquire(account, missing)
        return lambda: _asked(enquiry)

    # -- for other processes, over the control port

    def answer_enquire(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ``ValueError`` for what is no account or no entry."""
        try:
            account = parse_cid(str(given.get("account")))
            missing = [parse_cid(str(each)) for each in list(given.get("missing", []))[:MAX_MISSING]]
        except (MalformedCid, TypeError) as exc:
            raise ValueError(f"nothing to enquire about: {exc}") from exc
        enquiry = self._enquire(account, missing)
        with self._lock:
            self._last += 1
            self._begun[self._last] = enquiry
            while len(self._begun) > MAX_ENQUIRIES:
                self._begun.popitem(last=False)
            return {"enquiry": self._last}

    def answer_enquired(self, given: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            number = given.get("enquiry")
            enquiry = self._begun.get(number) if isinstance(number, int) else None
        return asdict(_asked(enquiry) if enquiry is not None else Asked(0, 0, 0, 0, 0))


def _asked(enquiry: Enquiry) -> Asked:
    return Asked(
        enquiry.peers,
        enquiry.answered,
        len(enquiry.networks),
        enquiry.keepers,
        enquiry.keepers_answered,
        enquiry.is_done,
    )
