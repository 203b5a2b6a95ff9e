"""Missing: what a person looks at that is not here is asked of peers, and shows by itself when it comes.

Looking never waits. What is missing is worked out from what is shown: the
posts that are quoted, repeated or answered and not held, and, of a
conversation, whatever others may hold of it. The node that runs on the home
asks, in this process or another; the journal then wakes whoever looks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from unhush.identity.cid import Cid, parse_cid
from unhush.identity.errors import MalformedCid
from unhush.node.views import Shown, Thread
from unhush.storage.kinds import REPOST, Repost
from unhush.storage.snapshot import Snapshot

# Records asked for by one look, and accounts whose carriers may know: a page shows fewer.
MAX_RECORDS: Final = 64
MAX_ABOUT: Final = 16


@dataclass(frozen=True, slots=True)
class Missing:
    """What to ask peers for: single records by account, and a conversation by its root."""

    records: Mapping[Cid, Cid] = field(default_factory=dict)  # record → whose it is
    root: Cid | None = None
    root_account: Cid | None = None
    about: tuple[Cid, ...] = ()  # accounts whose carriers may know more of the conversation

    def __bool__(self) -> bool:
        return bool(self.records) or self.root is not None

    def to_json(self) -> dict[str, Any]:
        return {
            "records": {str(cid): str(account) for cid, account in self.records.items()},
            "root": str(self.root) if self.root is not None else None,
            "root_account": str(self.root_account) if self.root_account is not None else None,
            "about": [str(account) for account in self.about],
        }


NOTHING: Final = Missing()


def parse_missing(given: Mapping[str, Any]) -> Missing:
    """Read what ``to_json`` wrote; raises ``ValueError``."""
    try:
        root, account = given.get("root"), given.get("root_account")
        return Missing(
            {
                parse_cid(str(cid)): parse_cid(str(who))
                for cid, who in list(dict(given.get("records", {})).items())[:MAX_RECORDS]
            },
            parse_cid(str(root)) if root is not None else None,
            parse_cid(str(account)) if account is not None else None,
            tuple(parse_cid(str(who)) for who in list(given.get("about", []))[:MAX_ABOUT]),
        )
    except (MalformedCid, TypeError) as exc:
        raise ValueError(f"not what to look for: {exc}") from exc


def find_missing(snapshot: Snapshot, items: Iterable[Shown]) -> Missing:
    """What is named by what is shown, and is not here."""
    records: dict[Cid, Cid] = {}
    for shown in items:
        for each in (shown, shown.reposted):
            if each is not None and each.quote is not None and each.quoted is None:
                records.setdefault(each.quote.entry, each.quote.account)
        if shown.kind == REPOST and shown.reposted is None and not shown.is_deleted:
            _note_reposted(snapshot, shown, records)
        if not shown.has_body and not shown.is_deleted:
            records.setdefault(shown.id, shown.account)
    # What is quoted in a quote is not shown, so it counts as missing; whether it is here is looked up.
    absent = {cid: who for cid, who in records.items() if not _is_here(snapshot, cid)}
    return Missing(dict(list(absent.items())[:MAX_RECORDS])) if absent else NOTHING


def find_missing_of(snapshot: Snapshot, thread: Thread) -> Missing:
    """What of a conversation may be elsewhere: more answers always, and the posts that stand as gaps in it."""
    shown = [*((thread.root,) if thread.root is not None else ()), *thread.replies]
    records = dict(find_missing(snapshot, shown).records)
    accounts: dict[Cid, None] = {thread.root.account: None} if thread.root is not None else {}
    gaps = {branch.id for branch in thread.branches if branch.shown is None}
    for reply in thread.replies:
        if reply.reply is None:
            continue
        if reply.reply.root == thread.root_id:
            accounts[reply.reply.root_account] = None
            if thread.root is None:
                records.setdefault(thread.root_id, reply.reply.root_account)
        if reply.reply.parent in gaps:
            records.setdefault(reply.reply.parent, reply.reply.parent_account)
        accounts[reply.reply.parent_account] = None
    about = tuple(accounts)[:MAX_ABOUT]
    return Missing(dict(list(records.items())[:MAX_RECORDS]), thread.root_id, about[0] if about else None, about)


def _note_reposted(snapshot: Snapshot, shown: Shown, records: dict[Cid, Cid]) -> None:
    record = snapshot.record(shown.id)
    body = snapshot.body(record) if record is not None else None
    if isinstance(body, Repost):
        records.setdefault(body.of, body.account)


def _is_here(snapshot: Snapshot, cid: Cid) -> bool:
    record = snapshot.record(cid)
    return record is not None and record.body is not None
