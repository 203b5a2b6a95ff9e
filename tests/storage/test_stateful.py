"""The store against a model (``tests/support/model.py``) through any life: whatever is done, every answer agrees.

People write, answer, edit, delete, follow, react and cut devices off; records
come in any order, by parts, twice, with their bodies late or never; writes
break in the middle, and the power fails; indexes are rebuilt. After every step
every question is asked of both.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.asking import ask, check_folds, differences, explained
from tests.support.breaking import Broken, breaking
from tests.support.model import GRACE_MS, Model, Row
from tests.support.people import NETWORK, Clock, Home, Person, cut_at, dump, ingest, open_home

from unhush.identity.cid import RAW_PREFIX, Cid, cid_of
from unhush.identity.entry import Header
from unhush.identity.keys import PublicKey
from unhush.identity.operations import Cut
from unhush.storage.arrivals import Arrival
from unhush.storage.kinds import (
    Block,
    Body,
    Delete,
    Edit,
    Follow,
    Keeper,
    Label,
    Media,
    Post,
    Profile,
    Quote,
    React,
    Rebuttal,
    Reply,
    Repost,
)
from unhush.storage.rebuilding import rebuild
from unhush.storage.schema import Table
from unhush.storage.verify import verify_store

EMOJI: Final = ("👍", "+", "👍🏽")
TAGS: Final = ("Straße", "STRASSE", "ﬁn", "猫")
FOLDED: Final = ("strasse", "fin", "猫")
BLOBS: Final = tuple(Cid(RAW_PREFIX + bytes([number]) * 32) for number in range(2))
NEVER: Final = cid_of(b"nobody ever writes this record")
ACTS: Final = (
    *("post", "reply", "answer", "answer", "delete", "delete", "delete", "edit", "edit", "follow", "follow"),
    *("react", "react", "repost", "quote", "article", "profile", "block", "keeper", "label", "rebuttal"),
)


@dataclass(frozen=True)
class Recipe:
    """What somebody writes, once it is known what there is: numbers point into lists of any length."""

    act: str
    target: int
    other: int
    is_own: bool  # whether the target is to be one of the writer's own records
    flags: int

    def body(self, records: list[Cid], own: list[Cid], accounts: list[Cid]) -> Body:
        among = own if self.is_own and own else records
        of, beside = among[-1 - self.target % len(among)], records[-1 - self.other % len(records)]
        who, tags = accounts[self.other % len(accounts)], (TAGS[self.flags % 4],) if self.flags & 4 else ()
        media = (Media(BLOBS[self.flags % 2], "image/png", 1, ""),) if self.flags & 8 else ()
        post = Post(f"{self.act} {self.flags}", tags=tags, media=media, mentions=(who,) if self.flags & 16 else ())
        match self.act:
            case "reply":
                return replace(post, reply=Reply(of, of, who, who))
            case "answer":
                return replace(post, reply=Reply(beside, of, who, who))
            case "quote":
                return replace(post, quote=Quote(of, who))
            case "article":
                return replace(post, title="title")
            case "edit":
                return Edit(of, replace(post, title="title") if self.flags & 2 else post)
            case "delete":
                return Delete(of)
            case "repost":
                return Repost(of, who)
            case "react":
                return React(of, who, EMOJI[self.flags % 3])
            case "follow":
                return Follow(who)
            case "keeper":
                return Keeper(who)
            case "block":
                return Block(who)
            case "profile":
                return Profile(f"name {self.flags}", avatar=BLOBS[0] if self.flags & 1 else None)
            case "label":
                return Label(of, "odd")
            case "rebuttal":
                return Rebuttal(of, "not so")
        return post


@dataclass(frozen=True)
class Sent:
    """Something that can be given to the store, at any time and more than once."""

    arrival: Arrival
    row: Row | None  # None: a device is cut off
    device: PublicKey
    cut: Cut


recipes = st.builds(
    Recipe,
    st.sampled_from(ACTS),
    st.integers(0, 5) | st.integers(0, 99),  # what is recent, mostly
    st.integers(0, 5) | st.integers(0, 99),
    st.booleans(),
    st.integers(0, 31),
)
picks = st.lists(st.tuples(st.integers(0, 99), st.sampled_from((True, True, True, False))), min_size=1, max_size=10)


class Life(RuleBasedStateMachine):
    """Ann's home; Bob and Carol elsewhere, and a second device of Ann's and of Bob's."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        fast = Path("/dev/shm")
        self.folder = Path(self.stack.enter_context(TemporaryDirectory(dir=fast if fast.is_dir() else None)))
        self.lives = 0
        self.clock = Clock()
        self.ann, self.bob, self.carol = (
            Person(name, seed=seed, clock_ms=self.clock) for seed, name in enumerate(("Ann", "Bob", "Carol"), 1)
        )
        self.accounts = [person.account for person in (self.ann, self.bob, self.carol)]
        self.store = self.stack.enter_context(open_home(self.path, self.clock))
        self.home = Home(self.store, self.ann, self.clock)
        self.ann_phone, ann_adds = self.ann.add_device()
        self.bob_phone, bob_adds = self.bob.add_device()
        ingest(self.store, self.bob.incept, self.carol.incept, ann_adds, bob_adds)
        self.model = Model(self.ann.account)
        self.own_time_ms = 0
        self.sent: list[Sent] = []
        self.written: list[tuple[Cid, Cid]] = []  # account and record, in the order of writing
        self._note_own(self.home.first.entry.header, self.home.first.cid, Profile("Ann"))

    @property
    def path(self) -> Path:
        return self.folder / f"life {self.lives}"

    # -- writing

    def _body(self, recipe: Recipe, account: Cid) -> Body:
        records = [NEVER, *self.accounts, *(cid for _, cid in self.written)]
        return recipe.body(records, [cid for of, cid in self.written if of == account], self.accounts)

    @rule(
        who=st.integers(0, 3),
        chosen=st.lists(recipes, min_size=1, max_size=4),
        late_ms=st.sampled_from((0, 0, 0, 5_000, -3_000)),
    )
    def somebody_writes(self, who: int, chosen: list[Recipe], late_ms: int) -> None:
        """Elsewhere: nothing has come yet."""
        person, device = (
            (self.bob, self.bob.device),
            (self.carol, self.carol.device),
            (self.bob, self.bob_phone),
            (self.ann, self.ann_phone),
        )[who]
        for recipe in chosen:
            body = self._body(recipe, person.account)
            written = person.write(body, time_ms=self.clock() - late_ms, by=device)
            row = self._row(written.entry.header, written.cid, person.account, body)
            self.sent.append(Sent(written.arrival, row, row.device, (0, b"")))
            self.written.append((person.account, written.cid))

    @rule(who=st.integers(0, 2), at=st.integers(-1, 12))
    @precondition(lambda self: len(self.sent) > 6 * (1 + sum(sent.row is None for sent in self.sent)))
    def somebody_cuts_a_device_off(self, who: int, at: int) -> None:
        """At any record of it; −1: nothing of it stays."""
        person, device = ((self.bob, self.bob_phone), (self.bob, self.bob.device), (self.ann, self.ann_phone))[who]
        log = [sent for sent in self.sent if sent.row is not None and sent.device == device.key.public]
        last = log[at % len(log)].row if at >= 0 and log else None
        cut = cut_at(None) if last is None else (last.seq, last.cid.bytes)
        arrival = person.revoke(device.key.public, None if last is None else cut)
        self.sent.append(Sent(arrival, None, device.key.public, cut))

    @rule(chosen=st.lists(recipes, min_size=1, max_size=3))
    def ann_publishes(self, chosen: list[Recipe]) -> None:
        self._publish(chosen)

    @rule(picked=picks)
    @precondition(lambda self: self.sent)
    def some_of_it_comes(self, picked: list[tuple[int, bool]]) -> None:
        self._ingest(self._pick(picked))

    @rule(is_backwards=st.booleans())
    @precondition(lambda self: self.sent)
    def all_of_it_comes(self, is_backwards: bool) -> None:
        self._ingest([(sent, True) for sent in (self.sent[::-1] if is_backwards else self.sent)])

    @rule(by_ms=st.sampled_from((1, 60_000, GRACE_MS // 2, GRACE_MS)))
    def time_passes(self, by_ms: int) -> None:
        self.clock.advance(by_ms)

    # -- what goes wrong, and what mends

    @rule(
        what=st.sampled_from(("publishing", "taking in", "taking in", "rebuilding", "collecting")),
        after=st.integers(1, 60),
        is_power_cut=st.booleans(),
        chosen=st.lists(recipes, min_size=1, max_size=3),
        picked=picks,
    )
    def a_write_breaks(
        self, what: str, after: int, is_power_cut: bool, chosen: list[Recipe], picked: list[tuple[int, bool]]
    ) -> None:
        match what:
            case "publishing":
                self._break(after, lambda: self._publish(chosen), is_power_cut=is_power_cut)
            case "taking in":
                self._break(after, lambda: self._ingest(self._pick(picked)), is_power_cut=is_power_cut)
            case "rebuilding":
                self._break(after, self._rebuild, is_power_cut=is_power_cut)
            case "collecting":  # it has many commits; whatever is done of it, the next round does the rest
                self._break(after, self.store.collect, is_power_cut=is_power_cut, is_whole=False)
                self._collect(is_now=False)

    @rule(is_now=st.booleans())
    def what_is_to_go_is_collected(self, is_now: bool) -> None:
        self._collect(is_now=is_now)

    @rule()
    def indexes_are_rebuilt(self) -> None:
        before = dump(self.store)
        self._rebuild()
        after = dump(self.store)
        # Full text may be told to look at a post once more than it must, and never once less.
        assert {*before.pop(Table.TEXT_DUE)} <= {*after.pop(Table.TEXT_DUE)}
        assert before == after, [table.name for table in before if before[table] != after[table]]

    @rule()
    def the_home_is_opened_again(self) -> None:
        self._open_again()

    # -- what always holds

    @invariant()
    def every_answer_is_the_models(self) -> None:
        cids = {cid for _, cid in self.written} | {*self.accounts, NEVER, *BLOBS}
        actual = ask(self.store, cids=cids, emoji=EMOJI, named_tags=FOLDED)
        found = differences(actual, self.model.view())
        assert not found, explained(found)

    def teardown(self) -> None:
        try:
            check_folds(self.store)
            with self.store.snapshot() as snapshot:
                report = verify_store(snapshot, network=NETWORK, check_cid=lambda _cid, _block: True)
            assert (report.bad, report.forks) == (0, 0), report.problems
        finally:
            self.stack.close()

    # -- doing it in both

    def _publish(self, chosen: list[Recipe]) -> None:
        bodies = [self._body(recipe, self.ann.account) for recipe in chosen]
        for record, body in zip(self.home.publish(*bodies), bodies, strict=True):
            self._note_own(record.entry.header, record.cid, body)

    def _note_own(self, header: Header, cid: Cid, body: Body) -> None:
        later_ms = 1 if isinstance(body, Edit | Profile) and self.written else 0  # the newest by time counts
        self.own_time_ms = max(self.own_time_ms + later_ms, self.clock())  # it never falls along a log
        assert header.time == self.own_time_ms
        self.model.receive(replace(self._row(header, cid, self.ann.account, body), seen_at_ms=self.own_time_ms))
        self.written.append((self.ann.account, cid))

    def _pick(self, picked: list[tuple[int, bool]]) -> list[tuple[Sent, bool]]:
        return [(self.sent[place % len(self.sent)], is_whole) for place, is_whole in picked] if self.sent else []

    def _ingest(self, chosen: list[tuple[Sent, bool]]) -> None:
        arrivals = [
            sent.arrival if is_whole or sent.row is None else Arrival(sent.arrival.entry, None)
            for sent, is_whole in chosen
        ]
        ingest(self.store, *arrivals)
        for sent, _ in chosen:
            if sent.row is None:
                self.model.revoke(sent.device, sent.cut)
        for sent, is_whole in chosen:
            if sent.row is not None:
                now = replace(sent.row, seen_at_ms=self.clock())
                self.model.receive(now if is_whole else replace(now, body=None))

    def _collect(self, *, is_now: bool) -> None:
        self.store.collect(is_now=is_now)
        self.model.collect(self.clock(), is_now=is_now)

    def _rebuild(self) -> None:
        with self.store._environment.write() as txn:
            rebuild(txn)

    def _row(self, header: Header, cid: Cid, account: Cid, body: Body) -> Row:
        return Row(cid, account, header.key, header.kind, header.seq, header.time, self.clock(), body)

    def _break(self, after: int, act: Callable[[], object], *, is_power_cut: bool, is_whole: bool = True) -> None:
        """Break a write; what is on the disk at that moment is what there is after a power cut."""
        before = dump(self.store)
        now = self.path
        try:
            with breaking(after, lambda: is_power_cut and shutil.copytree(now, self.folder / f"life {self.lives + 1}")):
                act()
        except Broken:
            if is_power_cut:
                self.lives += 1
                self._open_again()
            assert not is_whole or dump(self.store) == before

    def _open_again(self) -> None:
        self.store.close()
        self.store = self.home.store = self.stack.enter_context(open_home(self.path, self.clock))


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize("act", sorted(set(ACTS)))
def test_what_is_done_to_a_post_and_deletes_of_both_count_in_any_order(act: str, order: int) -> None:
    """Bob answers a post of his, Carol or he does something to the answer, and both are deleted."""
    life = Life()
    try:
        life.ann_publishes([Recipe("follow", 0, 1, False, 0)])
        life.somebody_writes(0, [Recipe("post", 0, 0, False, 0), Recipe("post", 0, 0, False, 0)], 0)
        life.somebody_writes(0, [Recipe("answer", 0, 1, True, 4)], 0)
        for who, mine in ((1, 0), (0, 1)):
            life.somebody_writes(who, [Recipe(act, 0, 2, False, 4)], 0)
            life.somebody_writes(who, [Recipe("delete", mine, 0, True, 0)], 0)
        sent = life.sent[:]
        if order:
            Random(f"{act} {order}").shuffle(sent)
        for each in sent:
            life._ingest([(each, True)])
            life.every_answer_is_the_models()
    finally:
        life.teardown()


def live(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(
                Phase.explicit,
                Phase.reuse,
                Phase.generate,
                Phase.target,
                Phase.shrink,
            ),  # explaining takes longest
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_every_answer_is_the_models_through_any_life() -> None:
    live(examples=40, steps=25)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_every_answer_is_the_models_through_many_long_lives() -> None:
    live(examples=2_000, steps=60)
