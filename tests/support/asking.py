"""What a store answers to every question the model answers (``model.py``), in the model's words."""

from collections.abc import Iterable
from dataclasses import replace

from tests.support.model import Model, Row, View

from unhush.identity.cid import Cid, cid_of_digest
from unhush.storage import accounts, indexes, journal, logs
from unhush.storage.folds import (
    FOLD_TABLES,
    activity,
    blobrefs,
    deletes,
    edits,
    follows,
    keepers,
    labels,
    profiles,
    quotes,
    reactions,
    reposts,
    tags,
    threads,
    timeline,
)
from unhush.storage.folds.about import Counts, counts_of
from unhush.storage.folds.timeline import Position, Shelf
from unhush.storage.kinds import Profile
from unhush.storage.logs import pack_u32
from unhush.storage.rebuilding import rebuild
from unhush.storage.schema import Table
from unhush.storage.store import Store
from unhush.storage.transaction import Txn

Rows = dict[Table, list[tuple[bytes, bytes]]]
At = tuple[int, int, Cid]


def ask(store: Store, *, cids: Iterable[Cid], emoji: Iterable[str], named_tags: Iterable[str]) -> View:
    """``cids``: every record, account and blob that anything may be asked about."""
    with store._environment.read() as txn:
        return _Asking(txn).view(list(cids), list(emoji), list(named_tags))


def counts_by_rows(view: View, cid: Cid) -> Counts:
    """The numbers beneath a record or a person, counted from a view."""

    def size(*key: object) -> int:
        return len(view.get(key, ()))

    return Counts(
        answers=size("answers", cid),
        reactions=sum(len(who) for key, who in view.items() if key[0] == "reacted" and key[1] == cid),
        reposts=size("reposted by", cid),
        quotes=size("quotes", cid),
        followers=size("followers", cid),
        labels=size("labels", cid),
    )


class _Asking:
    def __init__(self, txn: Txn) -> None:
        self._txn = txn
        self._names = {int.from_bytes(aid, "big"): cid_of_digest(digest) for digest, aid in txn.scan(Table.IDS)}

    def view(self, cids: list[Cid], emoji: list[str], named_tags: list[str]) -> View:
        txn, view = self._txn, View()
        numbers = {}
        names_shown: dict[Cid, str] = {}
        for account in accounts.iter_accounts(txn):
            known = accounts.find_account(txn, account)
            assert known is not None
            numbers[account] = known.number
        names = {number: account for account, number in numbers.items()}
        for account, number in numbers.items():
            for shelf in Shelf:
                at = self._at(timeline.iter_shelves(txn, [number], [shelf], None))
                assert len(at) == timeline.count_shelf(txn, number, shelf)
                view[shelf.name.lower(), account] = at
            view["follows", account] = set(follows.iter_followed(txn, number))
            view["keepers", account] = set(keepers.iter_keepers(txn, number))
            view["blocks", account] = set(follows.iter_blocked(txn, number))
            aid = profiles.find_profile_aid(txn, number)
            record = journal.find_record(txn, aid) if aid is not None else None
            profile = indexes.find_body(record) if record is not None else None
            if isinstance(profile, Profile):
                names_shown[account] = profile.name
        for _, key, log in logs.iter_logs(txn):
            view["held", key] = {seq for low, high in logs.runs(txn, log) for seq in range(low, high + 1)}
            assert view["held", key] == {slot.seq for slot in logs.iter_slots(txn, log)}
        for cid in cids:
            view["thread", cid] = self._at(threads.iter_thread(txn, cid, None), ascends=True)
            view["answers", cid] = self._at(threads.iter_answers(txn, cid, None), ascends=True)
            view["quotes", cid] = self._at(quotes.iter_quotes(txn, cid))
            view["reposted by", cid] = {names[pack_u32(place.account)] for place, _ in reposts.iter_reposts(txn, cid)}
            view["followers", cid] = {names[pack_u32(place.account)] for place, _ in follows.iter_followers(txn, cid)}
            view["labels", cid] = {self._names[aid] for aid in labels.iter_label_aids(txn, cid)}
            view["rebuttals", cid] = {self._names[aid] for aid in labels.iter_rebuttal_aids(txn, cid)}
            view["blob", cid] = {self._names[aid] for aid in blobrefs.iter_ref_aids(txn, cid)}
            counted = {each.emoji: each.accounts for each in reactions.counts_of(txn, cid)}
            for each in emoji:
                who = {names[pack_u32(place.account)] for place, _ in reactions.iter_reactions(txn, cid, each)}
                assert len(who) == counted.pop(each, 0)
                view["reacted", cid, each] = who
            assert not counted
        for tag in named_tags:
            view["tag", tag] = self._at(tags.iter_tagged(txn, tag))
        view["home"] = self._at(timeline.iter_home(txn, None))
        found = {key: answer for key, answer in view.items() if answer}
        for cid in cids:
            # Anybody may name a post in an edit; which of them are its author's is asked of the post.
            assert (cid, replace(counts_of(txn, cid), edits=0)) == (cid, counts_by_rows(found, cid))
        acts = {
            self._names[act.at.aid]: {reason.name for reason in act.reasons}
            for act in activity.iter_activity(txn, None)
        }
        held = list(journal.iter_journal(txn, 0))
        texts = {}
        versions: dict[Cid, list[Cid]] = {}
        for record in held:
            version = indexes.find_version(txn, record)
            known = accounts.find_account(txn, record.account)
            assert known is not None
            at = timeline.pack_position(record)
            if version is not None and timeline.is_on_shelf(txn, known.number, timeline.shelf_of(version), at):
                texts[record.cid] = version.text
                versions[record.cid] = [edit.cid for edit in edits.iter_edits(txn, record)]
        return found | {
            "deleted": {record.cid for record in held if deletes.is_deleted(txn, record)},
            "texts": texts,
            "versions": versions,
            "profiles": names_shown,
            "activity": acts,
        }

    def _at(self, positions: Iterable[Position], *, ascends: bool = False) -> set[At]:
        """A listing as the model knows it; its order must be that of positions, and nothing comes twice."""
        found = list(positions)
        assert found == sorted(set(found), reverse=not ascends)
        return {(at.shown_at_ms, at.seq, self._names[at.aid]) for at in found}


def folds_held(store: Store) -> Rows:
    with store._environment.read() as txn:
        return {table: list(txn.scan(table)) for table in FOLD_TABLES}


def folds_rebuilt(store: Store) -> Rows:
    """What the journal gives when every fold is emptied; nothing of it is kept."""
    try:
        with store._environment.write() as txn:
            rebuild(txn)
            raise _Rebuilt({table: list(txn.scan(table)) for table in FOLD_TABLES})
    except _Rebuilt as rebuilt:
        return rebuilt.rows


class _Rebuilt(Exception):
    """Carries rows out of a transaction that must not be committed."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows


def check_folds(store: Store) -> None:
    """Every index equals a rebuild, byte for byte."""
    held, rebuilt = folds_held(store), folds_rebuilt(store)
    for table, rows in rebuilt.items():
        assert held[table] == rows, f"{table.name} differs from a rebuild"


def check_answers(store: Store) -> None:
    """Every answer is what the model says of the records held; for logs without forks and cuts."""
    with store.snapshot() as snapshot:
        own, records = snapshot.own_account(), list(snapshot.journal(0))
    assert own is not None
    model = Model(own)
    for record in records:
        header = record.entry.header
        if not header.is_identity:
            body, seen = indexes.find_body(record), record.seen_at_ms
            model.rows[record.cid] = Row(
                record.cid, record.account, header.key, header.kind, header.seq, header.time, seen, body
            )
    expected = model.view()
    accounts_and_records = {record.cid for record in records} | {record.account for record in records}
    reactions_seen = {key[2] for key in expected if key[0] == "reacted"}
    tags_seen = {key[1] for key in expected if key[0] == "tag"}
    found = differences(ask(store, cids=accounts_and_records, emoji=reactions_seen, named_tags=tags_seen), expected)
    assert not found, explained(found)


def differences(actual: View, expected: View) -> dict[object, tuple[object, object]]:
    """What is not the same, with both answers."""
    keys = actual.keys() | expected.keys()
    both = {key: (actual.get(key), expected.get(key)) for key in keys}
    return {key: answers for key, answers in both.items() if answers[0] != answers[1]}


def explained(found: dict[object, tuple[object, object]]) -> str:
    return "\n".join(f"{key}: the store says {ours}, the model {its}" for key, (ours, its) in found.items())
