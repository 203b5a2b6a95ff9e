"""A store in a hundred lines: what is held is a dict, and every answer is worked out from all of it.

It takes honest logs only: no forks, good signatures. Slow, and meant to be
obviously right.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any
from unicodedata import normalize

from unhush.identity.cid import Cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import OPEN, Cut
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Post,
    Profile,
    React,
    Rebuttal,
    Repost,
)

View = dict[Any, Any]

GRACE_MS = 30 * 24 * 60 * 60 * 1000  # PROTOCOL §3 and §4


@dataclass(frozen=True)
class Row:
    """One record; ``body`` is None until it comes, and again once it is erased."""

    cid: Cid
    account: Cid
    device: PublicKey
    kind: str
    seq: int
    time_ms: int
    seen_at_ms: int
    body: Body | None

    @property
    def at(self) -> tuple[int, int, Cid]:
        """Where it stands in timelines."""
        return min(self.time_ms, self.seen_at_ms), self.seq, self.cid


@dataclass
class Model:
    own: Cid
    rows: dict[Cid, Row] = field(default_factory=dict)
    cuts: dict[PublicKey, Cut] = field(default_factory=dict)  # of devices that were cut off
    waiting: dict[Cid, int] = field(default_factory=dict)  # since when gc knows that something is to go
    erased: dict[Cid, Cid] = field(default_factory=dict)  # bodies gc took away, and what was deleted

    def receive(self, row: Row) -> None:
        """A record comes, seen now, by itself or again, with its body or without."""
        held = self.rows.get(row.cid)
        cut = self.cuts.get(row.device, OPEN)
        if cut != OPEN and row.seq >= cut[0] and (row.seq, row.cid.bytes) != cut:
            return
        if held is None:
            later = [other.seen_at_ms for other in self.log(row.device) if other.seq > row.seq]
            self.rows[row.cid] = replace(row, seen_at_ms=min([row.seen_at_ms, *later]))
        elif held.body is None and (held.account, self.erased.get(row.cid)) not in self.taken_back():
            self.rows[row.cid] = replace(held, body=row.body)
            if row.body is not None:
                self.erased.pop(row.cid, None)

    def taken_back(self) -> set[tuple[Cid, Cid | None]]:
        """What each account deleted, held or not."""
        return {(row.account, row.body.of) for row in self.in_force() if isinstance(row.body, Delete)}

    def collect(self, now_ms: int, *, is_now: bool) -> None:
        """What was deleted loses its body, and what others wrote beyond a cut goes, once it waited long enough."""
        taken, in_force, going = self.taken_back(), self.in_force(), {}
        for row in self.rows.values():
            if row.account != self.own and row.seq > self.cuts.get(row.device, OPEN)[0]:
                going[row.cid] = None
            elif row.body is not None and (row.account, row.cid) in taken and row.kind != Delete.kind:
                going[row.cid] = row.cid
            elif isinstance(row.body, Edit) and (row.account, row.body.of) in taken and row in in_force:
                going[row.cid] = row.body.of
        self.waiting = {cid: self.waiting.get(cid, now_ms) for cid in going}
        for cid, of in going.items():
            row = self.rows[cid]
            if now_ms - self.waiting[cid] < GRACE_MS and not (is_now and row.account == self.own):
                continue
            del self.waiting[cid]
            if of is None:
                del self.rows[cid]
                self.erased.pop(cid, None)
            else:
                self.rows[cid], self.erased[cid] = replace(row, body=None), of

    def revoke(self, device: PublicKey, cut: Cut) -> None:
        self.cuts[device] = min(cut, self.cuts.get(device, OPEN))

    def log(self, device: PublicKey) -> list[Row]:
        return sorted((row for row in self.rows.values() if row.device == device), key=lambda row: row.seq)

    def in_force(self) -> list[Row]:
        """Without a cut all; else what is held without a hole from the cut downwards."""
        found: list[Row] = []
        for device in {row.device for row in self.rows.values()}:
            cut = self.cuts.get(device, OPEN)
            if cut == OPEN:
                found += self.log(device)
                continue
            wanted = cut[0]
            for row in reversed(self.log(device)):
                if row.seq == wanted and (row.seq != cut[0] or row.cid.bytes == cut[1]):
                    found.append(row)
                    wanted -= 1
        return found

    def view(self) -> View:
        """Every question there is, with its answer."""
        bodied = {row.cid: row for row in self.in_force() if row.body is not None}
        taken = self.taken_back()
        deleted = {row.cid for row in self.rows.values() if (row.account, row.cid) in taken and row.kind != Delete.kind}
        shown = {cid: row for cid, row in bodied.items() if cid not in deleted}
        edits: defaultdict[Cid, list[Row]] = defaultdict(list)
        for row in sorted(shown.values(), key=lambda row: (row.time_ms, row.cid)):
            if isinstance(row.body, Edit):
                edits[row.body.of].append(row)
        posts: dict[Cid, Post] = {}
        versions: dict[Cid, list[Cid]] = {}
        for cid, row in shown.items():
            if isinstance(row.body, Post):
                posts[cid] = row.body
                own_edits = [edit for edit in edits[cid] if edit.account == row.account]
                versions[cid] = [edit.cid for edit in own_edits]
                if own_edits and isinstance(newest := own_edits[-1].body, Edit):
                    posts[cid] = newest.version_of(row.body)

        view: View = defaultdict(set)
        activity: defaultdict[Cid, set[str]] = defaultdict(set)
        profiles: dict[Cid, tuple[int, Cid, str]] = {}

        def note(target: Cid | None, row: Row, why: str) -> None:
            """What others do to our records, or (None) to us."""
            if row.account != self.own and (target is None or (target in shown and shown[target].account == self.own)):
                activity[row.cid].add(why)

        for cid, row in shown.items():
            who = row.account
            match row.body:
                case Post():
                    post = posts[cid]
                    shelf = "replies" if post.reply else "articles" if post.title is not None else "posts"
                    view[shelf, who].add(row.at)
                    for tag in post.tags:
                        view["tag", normalize("NFKC", tag).casefold()].add(row.at)
                    if post.media:
                        view["media", who].add(row.at)
                    if self.own in post.mentions:
                        note(None, row, "MENTION")
                    if post.reply is not None:
                        parent = posts.get(post.reply.parent)
                        root = post.reply.root
                        if parent is not None:
                            root = parent.reply.root if parent.reply is not None else post.reply.parent
                        view["thread", root].add(row.at)
                        view["answers", post.reply.parent].add(row.at)
                        note(post.reply.parent, row, "REPLY")
                    if post.quote is not None:
                        view["quotes", post.quote.entry].add(row.at)
                        note(post.quote.entry, row, "QUOTE")
                case Repost(of, _):
                    view["reposts", who].add(row.at)
                    view["reposted by", of].add(who)
                    note(of, row, "REPOST")
                case React(to, _, emoji):
                    view["reacted", to, emoji].add(who)
                    note(to, row, "REACTION")
                case Follow(whom):
                    view["follows", who].add(whom)
                    view["followers", whom].add(who)
                    if whom == self.own:
                        note(None, row, "FOLLOW")
                case Keeper(whom):
                    view["keepers", who].add(whom)
                    if whom == self.own:
                        note(None, row, "KEEPER")
                case Block(whom):
                    view["blocks", who].add(whom)
                case Profile(name):
                    profiles[who] = max(profiles.get(who, (0, cid, "")), (row.time_ms, cid, name))
                case Label(on):
                    view["labels", on].add(cid)
                case Rebuttal(label, _):
                    view["rebuttals", label].add(cid)
        for row in bodied.values():
            for blob in _blobs_of(row.body):
                view["blob", blob].add(row.cid)
        for who in view.get(("follows", self.own), set()) | {self.own}:
            for shelf in ("posts", "replies", "articles", "reposts"):
                view["home"] |= view.get((shelf, who), set())
        for row in self.rows.values():
            view["held", row.device].add(row.seq)
        return {key: answer for key, answer in view.items() if answer} | {
            "deleted": deleted,
            "versions": versions,
            "texts": {cid: post.text for cid, post in posts.items()},
            "profiles": {who: name for who, (_, _, name) in profiles.items()},
            "activity": dict(activity),
        }


def _blobs_of(body: Body | None) -> list[Cid]:
    match body:
        case Post():
            return [item.cid for item in body.media]
        case Edit():
            return [item.cid for item in body.post.media]
        case Profile():
            return [blob for blob in (body.avatar, body.banner) if blob is not None]
    return []
