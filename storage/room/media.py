"""Pictures and other files by whose records name them: what they take here."""

from collections import defaultdict

from unhush.identity.cid import Cid
from unhush.storage import journal
from unhush.storage.blobs.blobs import Blobs
from unhush.storage.schema import Table
from unhush.storage.transaction import Txn


def media_by_account(txn: Txn, blobs: Blobs, sizes: dict[bytes, int]) -> dict[Cid, int]:
    """Bytes of the blobs that are here, by whose records name them; each once for an account."""
    named: defaultdict[bytes, set[Cid]] = defaultdict(set)
    for key, _ in txn.scan(Table.BLOB_REFS):
        if key[:32] in sizes:
            record = journal.find_record(txn, int.from_bytes(key[32:], "big"))
            if record is not None:
                named[key[:32]].add(record.account)
    taken: defaultdict[Cid, int] = defaultdict(int)
    for digest, accounts in named.items():
        size = sizes[digest] + sum(sizes.get(chunk, 0) for chunk in set(blobs.find_chunks(digest)))
        for account in accounts:
            taken[account] += size
    return taken
