"""One arrival on its way in: from bytes to a well-formed entry with a parsed body; the disk is not asked."""

from typing import Final

from unhush.identity.cid import Cid
from unhush.identity.codec import Value
from unhush.identity.entry import Entry, UnverifiedEntry, check_body, decode_body, parse_entry
from unhush.identity.errors import IdentityError, MalformedBytes, WrongAccount
from unhush.storage.admission import Admitted
from unhush.storage.arrivals import Arrival, Outcome, Status
from unhush.storage.indexes import parse_known
from unhush.storage.kinds import POST, Body, Post
from unhush.storage.kinds.plain import find_plain_text, plain_fields
from unhush.storage.records import BodyState, Record

# What a sender may say about a body it does not give. That bytes are no body is for us to find.
_HEARSAY: Final = frozenset((BodyState.UNKNOWN, BodyState.WITHHELD, BodyState.DELETED))


class Item:
    """What is known of one arrival so far; the door fills it in, step by step."""

    __slots__ = ("at", "body", "by", "entry", "fields", "may_be_vouched", "operation", "signed", "state", "value")

    def __init__(self, at: int, entry: UnverifiedEntry, arrival: Arrival) -> None:
        self.at = at  # its place in the batch
        self.entry = entry
        self.may_be_vouched = arrival.may_be_vouched
        self.body: bytes | None = None
        self.state = arrival.reason if arrival.reason in _HEARSAY else BodyState.UNKNOWN
        self.fields: dict[str, Value] | None = None  # of the body
        self.value: Body | None = None  # what they mean, for a kind we know
        self.signed: Entry | None = None  # once it is authentic
        self.by: Cid | None = None  # who vouches for it in this batch, if that is all it has
        self.operation: Admitted | None = None

    def get_signed(self) -> Entry:
        assert self.signed is not None, "an entry that is not authentic was to be stored"
        return self.signed

    def leave_out_body(self) -> None:
        """Go on without the body, which is not to be kept here."""
        self.body = self.fields = self.value = None
        self.state = BodyState.WITHHELD

    def record(self, aid: int, now_ms: int) -> Record:
        return Record.of(aid, self.get_signed(), self.body, self.state, now_ms)


def parse_arrival(at: int, arrival: Arrival) -> Item | Outcome:
    """The item, or why the sender is at fault."""
    cid: Cid | None = None
    try:
        entry = parse_entry(arrival.entry)
        cid = entry.cid
        if arrival.account is not None and arrival.account != entry.account:
            raise WrongAccount(f"record {cid} is of {entry.account}, it was given as one of {arrival.account}")
        item = Item(at, entry, arrival)
        if arrival.body is None:
            return item
        check_body(entry.header, arrival.body)
    except IdentityError as exc:
        return rejected(cid, exc)
    text = find_plain_text(arrival.body) if entry.header.kind == POST else None
    if text is not None:
        item.body, item.state = arrival.body, BodyState.PRESENT
        item.fields, item.value = plain_fields(arrival.body, text), Post.of_checked_text(text)
        return item
    try:
        item.fields = decode_body(arrival.body)
    except MalformedBytes:
        # The author signed bytes that are no body: nobody's fault on the way, and there is nothing to show.
        item.state = BodyState.MALFORMED
        return item
    item.body, item.state = arrival.body, BodyState.PRESENT
    item.value = parse_known(entry.header.kind, item.fields)
    return item


def says_more(item: Item, held: Record) -> bool:
    """Whether an arrival brings a body we lack, or the certainty that there is none."""
    if held.body is not None:
        return False
    return item.body is not None or (item.state is BodyState.MALFORMED and held.body_state is not BodyState.MALFORMED)


def rejected(cid: Cid | None, error: IdentityError) -> Outcome:
    """It is the sender's fault."""
    return Outcome(Status.REJECTED, cid, error=f"{type(error).__name__}: {error}")
