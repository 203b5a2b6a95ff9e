"""Writing on this device: head of the own log → sign → journal, log, indexes, in one synced transaction."""

from collections.abc import Callable, Mapping

from unhush.identity.cid import Cid, cid_of
from unhush.identity.codec import Value, encode
from unhush.identity.entry import SALT_BYTES, Header, sign_entry
from unhush.identity.keys import SigningKey
from unhush.identity.operations import OPEN, SignedOperation
from unhush.storage import accounts, journal, logs, settings, writing
from unhush.storage.environment import Txn
from unhush.storage.errors import WritingRefused
from unhush.storage.kinds import Body
from unhush.storage.records import BodyState, Record


class Publisher:
    """Signs with this device's key for the home's own account."""

    def __init__(
        self, key: SigningKey, *, network: str, clock_ms: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._network = network
        self._clock_ms = clock_ms
        self._random_bytes = random_bytes

    def found_account(self, txn: Txn, inception: SignedOperation) -> None:
        """Make ``inception`` the account of this home."""
        if settings.find_own_account(txn) is not None:
            raise WritingRefused("this home has an account already")
        record = Record(
            journal.last_aid(txn) + 1, inception.entry.block, inception.body, BodyState.PRESENT, self._clock_ms()
        )
        accounts.put_operations(txn, inception.entry.account, [record])
        settings.put_own_account(txn, inception.entry.account)

    def publish(self, txn: Txn, body: Body) -> Record:
        """Sign and store one record at the end of this device's log; raises ``WritingRefused``."""
        own = settings.find_own_account(txn)
        account = accounts.find_account(txn, own) if own is not None else None
        if account is None:
            raise WritingRefused("this home has no account to write for")
        device = self._key.public
        if account.state.cut_of(device) != OPEN:
            raise WritingRefused(f"device {device} may not write for this account: it is not listed, or it was cut off")
        head = self._find_head(txn, account.id)
        now = self._clock_ms()
        block = encode(self._fields(body))
        header = Header(
            account=account.id,
            key=device,
            seq=head.entry.header.seq + 1 if head else 0,
            prev=head.cid if head else None,
            time=max(now, head.entry.header.time) if head else now,  # never falls along a log
            kind=body.kind,
            body=cid_of(block),
            size=len(block),
            identity=None if head else account.state.table,
        )
        entry = sign_entry(self._key, header, self._network)
        record = Record(journal.last_aid(txn) + 1, entry.block, block, BodyState.PRESENT, max(now, header.time))
        writing.put_entry(txn, account, entry, body.fields(), record)
        return record

    def _fields(self, body: Body) -> Mapping[str, Value]:
        return {"salt": self._random_bytes(SALT_BYTES), **body.fields()}

    def _find_head(self, txn: Txn, account: Cid) -> Record | None:
        log = logs.find_log(txn, account, self._key.public)
        head = logs.find_head(txn, log) if log is not None else None
        return journal.find_record(txn, head.aid) if head is not None else None
