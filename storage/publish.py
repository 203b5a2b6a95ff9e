"""Writing on this device: head of the own log → sign → journal, log, indexes, in one synced transaction."""

from collections.abc import Callable, Mapping

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import SALT_BYTES, Header, decode_body, sign_entry
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import OPEN, SignedOperation
from unhush.identity.trunk import Alarm
from unhush.storage import accounts, clones, indexes, journal, judging, logs, settings, writing
from unhush.storage.accounts import Account
from unhush.storage.errors import WritingRefused
from unhush.storage.kinds import Body, Edit, Profile
from unhush.storage.records import BodyState, Record
from unhush.storage.transaction import Txn


class Publisher:
    """Signs with this device's key for the home's own account."""

    def __init__(
        self, key: SigningKey, *, network: str, clock_ms: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._network = network
        self._clock_ms = clock_ms
        self._random_bytes = random_bytes

    @property
    def device(self) -> PublicKey:
        """The key it signs with."""
        return self._key.public

    def found_account(self, txn: Txn, inception: SignedOperation) -> None:
        """Make ``inception`` the account of this home."""
        if settings.find_own_account(txn) is not None:
            raise WritingRefused("this home has an account already")
        record = Record(
            journal.last_aid(txn) + 1, inception.entry.block, inception.body, BodyState.PRESENT, self._clock_ms()
        )
        judging.put_operations(txn, inception.entry.account, [record])
        settings.put_own_account(txn, inception.entry.account)
        clones.begin_device(txn, self._key.public)

    def take_over(self, txn: Txn, added: SignedOperation) -> list[Record]:
        """Begin this device's log in a home that wrote with another; raises ``WritingRefused``.

        ``added`` opens this device. What the home wrote before and nobody else holds is written again.
        """
        own, before = settings.find_own_account(txn), settings.find_own_device(txn)
        if own is None or before is None or added.entry.account != own or accounts.find_account(txn, own) is None:
            raise WritingRefused("this home has no device to take over from")
        if before == self._key.public:
            raise WritingRefused(f"device {before} is the one this home writes with already")
        aid = journal.last_aid(txn) + 1
        record = Record(aid, added.entry.block, added.body, BodyState.PRESENT, self._clock_ms())
        judging.put_operations(txn, own, [record])
        unsent = clones.find_unsent(txn, _get_account(txn, own), before)
        clones.begin_device(txn, self._key.public)
        account = self._account(txn)
        written = self._write_again(txn, unsent)
        # Only now, so that no local number is given twice: who follows the journal would not look at it again.
        clones.remove(txn, account, before, unsent)
        return written

    def publish(self, txn: Txn, body: Body) -> Record:
        """Sign and store one record at the end of this device's log; raises ``WritingRefused``."""
        time_ms = self._clock_ms()
        if isinstance(body, Edit | Profile):
            # The newest by time counts: what this device says later is newer, also within one millisecond.
            head = self._find_head(txn, self._account(txn).id)
            time_ms = max(time_ms, head.entry.header.time + 1 if head is not None else 0)
        return self._append(txn, body.kind, encode(self._fields(body)), body, time_ms)

    def _write_again(self, txn: Txn, unsent: list[Record]) -> list[Record]:
        """Write records that never left under this key; links among them are led to their new ids."""
        ids: dict[Cid, Cid] = {}
        written = []
        for old in unsent:
            assert old.body is not None, "a record without its body was to be written again"
            block = clones.with_new_ids(old.body, ids)
            body = indexes.parse_known(old.kind, decode_body(block))
            record = self._append(txn, old.kind, block, body, old.entry.header.time)
            ids[old.cid] = record.cid
            written.append(record)
        return written

    def _append(self, txn: Txn, kind: str, block: bytes, body: Body | None, time_ms: int) -> Record:
        account, device = self._account(txn), self._key.public
        head = self._find_head(txn, account.id)
        header = Header(
            account=account.id,
            key=device,
            seq=head.entry.header.seq + 1 if head else 0,
            prev=head.cid if head else None,
            time=max(time_ms, head.entry.header.time) if head else time_ms,  # never falls along a log
            kind=kind,
            body=cid_of(block),
            size=len(block),
            identity=None if head else account.state.table,
        )
        entry = sign_entry(self._key, header, self._network)
        seen_at_ms = max(self._clock_ms(), header.time)
        record = Record.of(journal.last_aid(txn) + 1, entry, block, BodyState.PRESENT, seen_at_ms)
        writing.put_entry(txn, account, record, body)
        return record

    def _account(self, txn: Txn) -> Account:
        """The account this device may write for now; raises ``WritingRefused``."""
        own = settings.find_own_account(txn)
        account = accounts.find_account(txn, own) if own is not None else None
        if account is None:
            raise WritingRefused("this home has no account to write for")
        device = self._key.public
        if reason := why_not_to_write(txn, account, device):
            raise WritingRefused(reason)
        if settings.find_own_device(txn) is None:
            clones.begin_device(txn, device)  # a home from before homes remembered this
        if settings.find_own_device(txn) != device:
            raise WritingRefused(f"device {device} is not the one this home writes with")
        return account

    def _fields(self, body: Body) -> Mapping[str, Value]:
        return {"salt": self._random_bytes(SALT_BYTES), **body.fields()}

    def _find_head(self, txn: Txn, account: Cid) -> Record | None:
        log = logs.find_log(txn, account, self._key.public)
        head = logs.find_head(txn, log) if log is not None else None
        return journal.find_record(txn, head.aid) if head is not None else None


def _get_account(txn: Txn, own: Cid) -> Account:
    account = accounts.find_account(txn, own)
    assert account is not None, "the own account was there a moment ago"
    return account


def why_not_to_write(txn: Txn, account: Account, device: PublicKey) -> str:
    """The reason for which nothing may be signed with this device's key now, and what to do; empty if there is none."""
    cut, state = account.state.cut_of(device), account.state
    if cut is None and (state.closed or Alarm.FROZEN in state.alarms or Alarm.FLOODED in state.alarms):
        return "this device is not listed while its account is frozen, closed or flooded; a rotate can: unhush rotate"
    if cut is None:
        return "this device is not listed by its account; add it on another device, or: unhush rotate"
    if cut != OPEN:
        return "this device was cut off from its account; if you did not do that: unhush rotate"
    return clones.why_not_to_write(txn, account.id, device)
