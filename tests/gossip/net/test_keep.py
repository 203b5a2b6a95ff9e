"""The statements protocol between real hosts: what is gained is told on, strangers are answered, and floods are cut."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import pytest
import trio
from tests.gossip.proto.test_hostile import mutate
from tests.support.people import NETWORK, START_MS, Clock, Device, Home, Person, ingest, open_home

from unhush.gossip.errors import NotConnected, StreamBroken, StreamRefused
from unhush.gossip.net.host import Host
from unhush.gossip.net.keep.conversing import Conversation
from unhush.gossip.net.keep.service import KeepConfig, StatementService
from unhush.gossip.net.keep.shelf import Shelf
from unhush.gossip.net.wire.payloads import Payloads
from unhush.gossip.net.wire.stream import Stream
from unhush.gossip.proto.carriage import pack_carriage
from unhush.gossip.proto.frames import Operation
from unhush.gossip.proto.framing import frame
from unhush.gossip.proto.proving import ANSWERED_PER_PEER, Pair
from unhush.gossip.proto.statements import (
    MAX_ITEMS,
    MAX_QUESTIONS,
    NO_EPOCH,
    PROTOCOL,
    About,
    Answer,
    Items,
    Prove,
    Question,
    Since,
    Taken,
    Tell,
    ToldStatement,
    encode_answer,
    encode_question,
)
from unhush.gossip.proto.tally import Met
from unhush.identity.cid import Cid, cid_of
from unhush.identity.keys import SigningKey
from unhush.identity.statement import (
    Card,
    Claim,
    Head,
    Heads,
    MediaPolicy,
    Possession,
    Receipt,
    sign_statement,
)
from unhush.storage.keeping.speakers import Operation as HeldOperation
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.kinds import Follow, Keeper

Run = Callable[[Callable[[], Awaitable[None]]], None]
MakeHost = Callable[..., AbstractAsyncContextManager[Host]]
NONCE: Final = bytes(range(16))


@dataclass
class Signer:
    """A node's other thread by hand."""

    answer: list[ToldStatement] = field(default_factory=list)
    is_full: bool = False
    is_dumb: bool = False
    asked: list[Prove] = field(default_factory=list)

    def prove(self, question: Prove, done: Callable[[Sequence[ToldStatement]], None]) -> bool:
        if self.is_full:
            return False
        self.asked.append(question)
        if not self.is_dumb:
            done(self.answer)
        return True


class Side:
    """A home, a host and the service upon them."""

    def __init__(self, host: Host, home: Home, clock: Clock) -> None:
        self.host = host
        self.home = home
        self.clock = clock
        self.person = home.person
        self.signer = Signer()
        self.learned: list[tuple[str, frozenset[Cid], str | None]] = []
        self.service = StatementService(
            host,
            home.store,
            network=NETWORK,
            learn=lambda address, accounts, source: self.learned.append((address, accounts, source)),
            config=KeepConfig(self.signer, clock),
        )
        self.service.start()
        self.carry()

    def carry(self) -> None:
        with self.home.store.snapshot() as snapshot:
            self.service.carry(snapshot.carried(), self.person.account)

    def follow(self, other: Person) -> None:
        self.home.publish(Follow(other.account))
        ingest(self.home.store, other.incept)
        self.carry()

    def say(self, claim: Claim, *, tell: bool = True) -> ToldStatement:
        told = signed(self.person, claim, self.clock())
        took = self.home.store.statements.take([SignedStatement(told.block)], self.clock())
        assert took == [Took.STORED]
        if tell:
            self.service.said([told])
        return told

    def blocks(self, of: Person) -> set[bytes]:
        return {each.block for each in self.home.store.statements.about(of.account)}


def signed(person: Person, claim: Claim, at_ms: int = START_MS, by: Device | None = None) -> ToldStatement:
    key = (by or person.device).key
    statement = sign_statement(key, person.account, claim, time=at_ms, expires=at_ms + 86_400_000, network=NETWORK)
    founding = [person.incept, *([person.add(by)] if by is not None else [])]
    return ToldStatement(statement.block, tuple(Operation(each.entry, each.body or b"") for each in founding))


def card(host: Host) -> Card:
    return Card((host.addresses()[0],), ())


async def until(is_so: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not is_so():  # noqa: ASYNC110  # what is waited for has no event
            await trio.sleep(0.02)


async def ask(host: Host, peer_id: str, question: Question) -> Answer | None:
    """None where the stream was cut."""
    try:
        async with Conversation(host, peer_id) as conversation:
            return await conversation.ask(question)
    except (StreamBroken, StreamRefused, NotConnected):
        return None


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Callable[[Host, str], Side]]:
    """Homes of people with the services on their hosts, and one clock for all."""
    clock = Clock()
    with ExitStack() as stack:
        people = iter(range(1, 100))

        def make(host: Host, name: str) -> Side:
            store = stack.enter_context(open_home(tmp_path / name, clock))
            return Side(host, Home(store, Person(name, seed=next(people)), clock), clock)

        yield make


def test_statements_come_by_asking_and_by_telling_and_go_on_to_who_wants_them(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b, our_host() as c, trio.open_nursery() as nursery:
            ann, ben, cat = sides(a, "Ann"), sides(b, "Ben"), sides(c, "Cat")
            ben.follow(ann.person)
            cat.follow(ann.person)
            before = ann.say(card(a), tell=False)
            for side in (ann, ben, cat):
                nursery.start_soon(side.service.run)
            await b.dial(a.addresses()[0])
            await c.dial(b.addresses()[0])
            await until(lambda: before.block in cat.blocks(ann.person))  # from Ben
            learned = (a.addresses()[0], frozenset({ann.person.account}), b.peer_id)
            await until(lambda: learned in cat.learned)
            since = trio.current_time()
            live = ann.say(Heads((), bytes(32)))
            await until(lambda: live.block in cat.blocks(ann.person))
            assert trio.current_time() - since < 5
            await until(lambda: cat.service.machines_of(ann.person.account) == {a.peer_id})
            nursery.cancel_scope.cancel()

    run(main)


def test_equal_nodes_have_nothing_to_say_to_each_other_again(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            ann, ben = sides(a, "Ann"), sides(b, "Ben")
            ben.follow(ann.person)
            ann.say(card(a), tell=False)
            nursery.start_soon(ben.service.run)
            await b.dial(a.addresses()[0])
            await until(lambda: ben.blocks(ann.person))
            await until(lambda: ben.home.store.statements.cursors.find(a.peer_id))
            cursor = ben.home.store.statements.cursors.find(a.peer_id)
            assert cursor is not None
            answer = await ask(b, a.peer_id, Since(*cursor))
            assert answer == Items((), *cursor)
            nursery.cancel_scope.cancel()

    run(main)


def test_a_filter_leaves_out_what_nobody_asked_for(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b:
            ann = sides(a, "Ann")
            said = ann.say(card(a))
            await b.dial(a.addresses()[0])
            of_ann = await ask(b, a.peer_id, Since(NO_EPOCH, 0, pack_carriage([ann.person.account])))
            assert isinstance(of_ann, Items)
            assert [each.block for each in of_ann.items] == [said.block]
            of_others = await ask(b, a.peer_id, Since(NO_EPOCH, 0, pack_carriage([cid_of(b"somebody")])))
            assert isinstance(of_others, Items)
            assert of_others.items == ()
            assert of_others.n == of_ann.n

    run(main)


def test_anybody_is_told_about_an_account_and_a_keeper_is_asked_about_as_soon_as_it_is_known(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b, our_host() as s, trio.open_nursery() as nursery:
            ann, ben, keeper = sides(a, "Ann"), sides(b, "Ben"), sides(s, "Kim")
            ben.follow(ann.person)
            ingest(ann.home.store, keeper.person.incept)
            kept = Receipt(
                ann.person.account, (Head(ann.person.key, 0, cid_of(b"x")),), (), bytes(32), MediaPolicy.NONE
            )
            receipt, where = signed(keeper.person, kept), signed(keeper.person, card(s))
            for told in (receipt, where):
                item = SignedStatement(told.block, tuple(HeldOperation(op.entry, op.body) for op in told.ops))
                ann.home.store.statements.take([item], ann.clock(), asked=frozenset({keeper.person.account}))
            await s.dial(a.addresses()[0])
            about = await ask(s, a.peer_id, About((ann.person.account, keeper.person.account)))
            assert isinstance(about, Items)
            assert {each.block for each in about.items} == {receipt.block, where.block}
            # Ben hears of the receipt, for he follows Ann, and so of her keeper, and where that is.
            nursery.start_soon(ben.service.run)
            await b.dial(a.addresses()[0])
            await until(lambda: where.block in ben.blocks(keeper.person))
            await until(lambda: any(keeper.person.account in accounts for _, accounts, _ in ben.learned))
            nursery.cancel_scope.cancel()

    run(main)


def test_a_keeper_with_two_machines_is_asked_at_the_one_that_gave_the_receipt(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as b:
            ben, ann, kim = sides(b, "Ben"), Person("Ann", seed=60), Person("Kim", seed=61)
            ben.follow(ann)
            second = Device(SigningKey(bytes(range(32))))
            pair = Pair(ann.account, kim.account)
            kept = Receipt(ann.account, (Head(ann.key, 0, cid_of(b"x")),), (), bytes(32), MediaPolicy.NONE)
            here, there = (f"/ip4/203.0.113.{number}/tcp/1/p2p/{'1' * 46}" for number in (1, 2))
            await ben.service._take(None, [signed(kim, kept, by=second)])
            await until(lambda: pair.keeper in ben.service._keepers())
            ben.service._mind()
            await ben.service._take(None, [signed(kim, Card((here,), ()))])
            assert ben.service._addresses_of(pair) == (here,)  # better than none
            await ben.service._take(None, [signed(kim, Card((there,), ()), by=second)])
            assert ben.service._addresses_of(pair) == (there,)
            await ben.service._take(None, [signed(kim, kept, START_MS + 1)])
            assert ben.service._addresses_of(pair) == (here, there)
            ended = Receipt(ann.account, (), (), bytes(32), MediaPolicy.NONE)
            await ben.service._take(None, [signed(kim, ended, START_MS + 2)])
            assert ben.service._addresses_of(pair) == (there,)
            await ben.service._take(None, [signed(kim, ended, START_MS + 2, by=second)])
            assert not ben.service._keepers()

    run(main)


def test_a_challenge_is_answered_by_the_signer_and_put_off_beyond_a_rate(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b:
            keeper = sides(a, "Kim")
            question = Prove(cid_of(b"of"), cid_of(b"entry"), NONCE)
            shown = Possession(question.of, question.entry, NONCE, bytes(32))
            keeper.signer.answer = [signed(keeper.person, shown)]
            await b.dial(a.addresses()[0])
            answers = [await ask(b, a.peer_id, question) for _ in range(ANSWERED_PER_PEER + 5)]
            assert answers[0] == Items(tuple(keeper.signer.answer))
            assert answers[-1] == Items()
            assert keeper.signer.asked == [question] * ANSWERED_PER_PEER
            assert a.tally.read()[Met.PROOF_REFUSED] == 5

    run(main)


def test_a_signer_that_is_busy_or_dumb_makes_no_answer(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.serving.PROVE_S", 0.2)

    async def main() -> None:
        async with our_host() as a, our_host() as b:
            keeper = sides(a, "Kim")
            question = Prove(cid_of(b"of"), cid_of(b"entry"), NONCE)
            await b.dial(a.addresses()[0])
            keeper.signer.is_full = True
            assert await ask(b, a.peer_id, question) == Items()
            keeper.signer.is_full, keeper.signer.is_dumb = False, True
            assert await ask(b, a.peer_id, question) == Items()
            assert keeper.signer.asked == [question]

    run(main)


def test_a_statement_nobody_signed_is_its_senders_fault_and_one_nobody_asked_for_is_not(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b:
            ann = sides(a, "Ann")
            stranger = Person("Sam", seed=50)
            await b.dial(a.addresses()[0])
            assert await ask(b, a.peer_id, Tell((signed(stranger, card(b)),))) == Taken(0)
            assert not a.tally.read()[Met.PEER_FAULT]
            good = signed(ann.person, card(b))
            forged = ToldStatement(good.block[:-1] + bytes([good.block[-1] ^ 1]), good.ops)
            assert await ask(b, a.peer_id, Tell((forged,))) is None
            await until(lambda: a.tally.read()[Met.PEER_FAULT] == 1)
            assert ann.blocks(ann.person) == set()

    run(main)


def test_floods_are_cut_and_counted(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.serving.QUESTIONS_PER_PEER", 30)

    async def main() -> None:
        async with our_host() as a, our_host() as b:
            sides(a, "Ann")
            await b.dial(a.addresses()[0])
            many = (signed(Person("Sam", seed=50), card(b)),) * MAX_ITEMS
            answers = [await ask(b, a.peer_id, Tell(many)) for _ in range(3)]
            assert answers == [Taken(0)] * 3
            assert a.tally.read()[Met.STATEMENT_IGNORED] == MAX_ITEMS
            asked = 0
            while await ask(b, a.peer_id, Since(NO_EPOCH, 0)) is not None:
                asked += 1
            assert 27 <= asked <= 60  # time refills it
            assert a.tally.read()[Met.STATEMENTS_PUT_OFF] == 1

    run(main)


def test_who_has_much_looked_up_is_told_to_come_later(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.serving.LOOKS_PER_PEER", 1)

    async def main() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            ann, ben = sides(a, "Ann"), sides(b, "Ben")
            ben.follow(ann.person)
            ann.say(card(a))
            ann.say(Heads((), bytes(32)))
            await b.dial(a.addresses()[0])
            first = await ask(b, a.peer_id, Since(NO_EPOCH, 0))
            assert isinstance(first, Items)
            assert len(first.items) == 2
            later = await ask(b, a.peer_id, Since(first.epoch, first.n))
            assert later == Items((), first.epoch, first.n, is_more=True)
            assert await ask(b, a.peer_id, About((ann.person.account,))) is None
            assert a.tally.read()[Met.STATEMENTS_PUT_OFF] == 2
            # Whoever hears that does not ask on at once.
            nursery.start_soon(ben.service.run)
            await trio.sleep(1.0)
            assert a.tally.read()[Met.STATEMENTS_PUT_OFF] <= 4
            nursery.cancel_scope.cancel()

    run(main)


def test_one_stream_takes_so_many_questions_and_one_peer_so_many_streams(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side]
) -> None:
    async def main() -> None:
        async with our_host() as a, our_host() as b:
            sides(a, "Ann")
            await b.dial(a.addresses()[0])
            async with Conversation(b, a.peer_id) as conversation:
                for _ in range(MAX_QUESTIONS):
                    await conversation.ask(About((cid_of(b"x"),)))
                with pytest.raises(StreamBroken):
                    await conversation.ask(About((cid_of(b"x"),)))
            streams = [await b.open_stream(a.peer_id, PROTOCOL) for _ in range(2)]
            await trio.sleep(0.2)
            assert await ask(b, a.peer_id, About((cid_of(b"x"),))) is None
            for stream in streams:
                await stream.reset()
            await trio.sleep(0.2)
            assert await ask(b, a.peer_id, About((cid_of(b"x"),))) == Items()

    run(main)


def test_silent_streams_of_others_keep_nobody_from_asking(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.places.MAX_STRANGERS", 2)

    async def main() -> None:
        async with our_host() as a, our_host() as b, our_host() as c:
            sides(a, "Ann")
            await b.dial(a.addresses()[0])
            await c.dial(a.addresses()[0])
            silent = [await b.open_stream(a.peer_id, PROTOCOL) for _ in range(2)]
            await trio.sleep(0.2)
            assert await ask(c, a.peer_id, About((cid_of(b"x"),))) == Items()
            with pytest.raises(StreamBroken):
                await silent[0].read()
            assert a.tally.read()[Met.STATEMENTS_PUT_OFF] == 1

    run(main)


def test_who_always_has_more_that_is_nothing_is_not_asked_on_and_on(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.service.GIVEN_PER_PEER", 320)

    async def main() -> None:
        async with our_host() as a, our_host() as b, trio.open_nursery() as nursery:
            asked = 0

            async def tease(stream: Stream) -> None:
                nonlocal asked
                payloads = Payloads(stream)
                while await payloads.next() is not None:
                    asked += 1
                    await stream.write(frame(encode_answer(Items((), bytes(8), asked, is_more=True))))

            b.handle(PROTOCOL, tease)
            ann = sides(a, "Ann")
            nursery.start_soon(ann.service.run)
            await b.dial(a.addresses()[0])
            await until(lambda: asked >= 16)
            await trio.sleep(5.0)
            assert 16 <= asked <= 22  # 20, and what time refills
            nursery.cancel_scope.cancel()

    run(main)


def test_strangers_with_newer_receipts_do_not_hide_the_keeper_that_was_accepted(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.shelf.MAX_KEEPERS", 2)
    monkeypatch.setattr("unhush.gossip.net.keep.enquiring.MAX_KEEPERS", 2)
    monkeypatch.setattr("unhush.gossip.net.keep.service.MAX_PAIRS", 2)

    async def main() -> None:
        async with our_host() as a:
            ann = sides(a, "Ann")
            of = ann.person.account
            keeper, *strangers = (Person(f"keeper {each}", seed=200 + each) for each in range(6))
            ann.home.publish(Keeper(keeper.account))
            claim = Receipt(of, (Head(ann.person.key, 1, cid_of(b"e")),), (), bytes(32), MediaPolicy.NONE)
            for age, who in enumerate([*strangers, keeper]):
                told = signed(who, claim, START_MS - age * 1_000)
                ops = tuple(HeldOperation(op.entry, op.body) for op in told.ops)
                assert ann.home.store.statements.take([SignedStatement(told.block, ops)], ann.clock()) == [Took.STORED]
            known = Shelf(ann.home.store, ann.clock).look_up([of], of)
            assert len(known.until_ms) == 2
            assert known.trusted == {Pair(of, keeper.account)} <= known.until_ms.keys()
            assert ann.service.enquiring._find_keepers(of)[0] == keeper.account
            with trio.move_on_after(1.0):
                await ann.service.run()
            assert Pair(of, keeper.account) in ann.service._proving._turns

    run(main)


def test_an_account_named_twice_is_a_fault_and_what_was_looked_at_in_vain_is_charged(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.serving.LOOK_S", 1e-9)  # any time at all is more than there is

    async def main() -> None:
        async with our_host() as a, our_host() as b:
            sides(a, "Ann")
            await b.dial(a.addresses()[0])
            assert await ask(b, a.peer_id, About((cid_of(b"x"),))) == Items()
            assert await ask(b, a.peer_id, About((cid_of(b"x"),))) is None
            assert a.tally.read()[Met.STATEMENTS_PUT_OFF] == 1
            assert not a.tally.read()[Met.PEER_FAULT]
            assert await ask(b, a.peer_id, About((cid_of(b"x"),) * 2)) is None
            await until(lambda: a.tally.read()[Met.PEER_FAULT] == 1)

    run(main)


def test_of_accounts_much_is_held_about_no_more_is_read_than_fits(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.shelf.MAX_ITEMS_BYTES", 100)

    async def main() -> None:
        async with our_host() as a:
            ann = sides(a, "Ann")
            ann.say(card(a), tell=False)
            read: list[Cid] = []
            about = ann.home.store.statements.about

            def count(account: Cid, *, max_bytes: int | None = None) -> list[SignedStatement]:
                read.append(account)
                return about(account, max_bytes=max_bytes)

            monkeypatch.setattr(ann.home.store.statements, "about", count)
            shelf = Shelf(ann.home.store, ann.clock)
            assert len(shelf.about([ann.person.account, cid_of(b"x")]).items) == 1
            assert read == [ann.person.account]

    run(main)


def test_mutated_frames_do_no_harm(
    run: Run, our_host: MakeHost, sides: Callable[[Host, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.net.keep.serving.QUESTIONS_PER_PEER", 10_000)
    rng = Random(7)  # no secrets here

    async def main() -> None:
        async with our_host() as a, our_host() as b:
            ann = sides(a, "Ann")
            told = signed(ann.person, card(a))
            samples = [
                encode_question(each) for each in (Since(NO_EPOCH, 0), About((ann.person.account,)), Tell((told,)))
            ]
            a._faults.record = lambda *_: False  # type: ignore[method-assign]  # it is to hear all of them
            await b.dial(a.addresses()[0])
            for number in range(90):
                data = frame(mutate(rng, samples[number % 3])) if number % 5 else rng.randbytes(100)
                with suppress(StreamBroken, StreamRefused, NotConnected):
                    async with await b.open_stream(a.peer_id, PROTOCOL) as stream:
                        with trio.move_on_after(0.02):
                            await stream.write(data)
                            await stream.read()
                        await stream.reset()
                if not b.connected():  # of too many streams that begin and end at once a connection is cut
                    await b.dial(a.addresses()[0])
            answer = None
            for _ in range(20):
                await trio.sleep(0.2)
                if not b.connected():
                    await b.dial(a.addresses()[0])
                answer = answer or await ask(b, a.peer_id, About((ann.person.account,)))
            assert isinstance(answer, Items)

    run(main)
