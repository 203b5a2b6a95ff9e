"""What running nodes sign by themselves: heads, cards and receipts that reach others, and answers to challenges."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from tests.support.commands import await_until
from tests.support.nodes import CHEAP, address_of, config_of, introduce, publish

from unhush.gossip.proto.contradictions import DELETED
from unhush.gossip.proto.statements import Prove, ToldStatement
from unhush.identity.cid import Cid, cid_of
from unhush.identity.statement import (
    NOT_HERE,
    Absent,
    Card,
    Heads,
    MediaPolicy,
    Possession,
    Receipt,
    Statement,
    digest_possession,
    parse_statement,
    verify_statement,
)
from unhush.node import Config, Node, found_account
from unhush.node.errors import BadConfig, NotFound
from unhush.node.keeping import receipting, speaking
from unhush.node.keeping.speaking import Speaking
from unhush.storage.keeping.promises import Promise
from unhush.storage.keeping.statements import SignedStatement, Took
from unhush.storage.schema import Table
from unhush.storage.snapshot import Snapshot
from unhush.storage.transaction import Txn

NONCE: Final = bytes(range(16))
PROMISE: Final = Promise(10_000_000, MediaPolicy.NONE, 0)
NETWORK: Final = "test"


class Ears:
    """The network by hand."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ("/ip4/203.0.113.7/tcp/4470/p2p/" + "1" * 46,)
        self.told: list[ToldStatement] = []
        self.promises = 0

    def listen(self) -> tuple[str, ...]:
        return self.addresses

    def said(self, items: object) -> None:
        assert isinstance(items, list)
        self.told += items

    def promised(self) -> None:
        self.promises += 1

    def claims(self, type_: type) -> list[object]:
        return [each.claim for each in map(_read, self.told) if isinstance(each.claim, type_)]


def _read(told: ToldStatement) -> Statement:
    return verify_statement(parse_statement(told.block), NETWORK)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def make(name: str, **settings: object) -> Node:
            config = config_of(tmp_path / name, **settings)
            if not config.home.exists():
                found_account(config, name)
            return stack.enter_context(Node.open(config))

        yield make


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Node, Ears], Speaking]]:
    """Let a node speak to ears of ours, without a network."""
    monkeypatch.setattr(speaking, "ADDRESSES_EVERY_S", 0.3)
    with ExitStack() as stack:

        def make(node: Node, ears: Ears) -> Speaking:
            made = Speaking(node._store, node.config, node._keys)
            made.start(ears)
            stack.callback(made.stop)
            return made

        yield make


def look(node: Node, read: Callable[[Snapshot], list[Statement]]) -> list[Statement]:
    with node._store.snapshot() as snapshot:
        return read(snapshot)


def receipts(node: Node, of: Cid) -> list[Receipt]:
    found = look(node, lambda snapshot: snapshot.receipts_of(of))
    return [each.claim for each in found if isinstance(each.claim, Receipt)]


def prove(spoken: Speaking, of: Cid, entry: Cid) -> list[Statement]:
    answers: list[list[ToldStatement]] = []
    assert spoken.prove(Prove(of, entry, NONCE), lambda items: answers.append(list(items)))
    await_until(lambda: answers, "an answer")
    return [_read(each) for each in answers[0]]


def copy_of(author: Node, keeper: Node, tmp_path: Path) -> None:
    """The account of the author comes to the keeper by a file."""
    file = tmp_path / "author.car"
    file.unlink(missing_ok=True)
    author.export_car(file)
    keeper.import_car(file)


def promise(author: Node, keeper: Node, tmp_path: Path) -> None:
    """The keeper promises the account of the author, and has it."""
    keeper._store.promises.keep(author.account(), PROMISE)
    copy_of(author, keeper, tmp_path)


# --- alone


def test_heads_and_a_card_are_said_once_and_again_when_they_change(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking]
) -> None:
    node, ears = opened("ann"), Ears()
    speak(node, ears)
    await_until(lambda: ears.claims(Heads) and ears.claims(Card), "heads and a card")
    post = node.post("hello")
    began = time.monotonic()
    await_until(lambda: len(ears.claims(Heads)) > 1, "new heads")
    assert time.monotonic() - began < 5
    newest = ears.claims(Heads)[-1]
    assert isinstance(newest, Heads)
    assert newest.heads[0].entry == post.id
    assert ears.claims(Card) == [Card(ears.addresses, ())]
    ears.addresses = (*ears.addresses, "/ip4/203.0.113.8/tcp/1/p2p/" + "1" * 46)
    await_until(lambda: len(ears.claims(Card)) == 2, "another card")
    count = len(ears.told)
    time.sleep(1.0)
    assert len(ears.told) == count  # nothing new, nothing said
    assert look(node, lambda snapshot: snapshot.cards(node.account()))[0].claim == ears.claims(Card)[-1]
    assert all(each.ops for each in ears.told)


def test_a_burst_of_posts_makes_few_heads(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "HEADS_INTERVAL_S", 6.0)
    node, ears = opened("ann"), Ears()
    speak(node, ears)
    for number in range(20):
        last = node.post(f"post {number}")
        time.sleep(0.05)
    await_until(lambda: any(last.id in _entries(each) for each in ears.claims(Heads)), "the last of them")
    assert len(ears.claims(Heads)) <= 6


def _entries(claim: object) -> list[Cid]:
    assert isinstance(claim, Heads)
    return [head.entry for head in claim.heads]


def test_a_card_that_would_be_too_long_leaves_addresses_out(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking]
) -> None:
    node, ears = opened("ann"), Ears()
    peer = "1" * 46
    ears.addresses = tuple(f"/dns4/{letter * 60}.{letter * 60}.{letter * 60}.org/tcp/1/p2p/{peer}" for letter in "abcd")
    speak(node, ears)
    await_until(lambda: ears.claims(Card), "a card")
    (card,) = ears.claims(Card)
    assert isinstance(card, Card)
    assert card.peers == ears.addresses[: len(card.peers)]
    assert 1 <= len(card.peers) < 4


def test_web_addresses_stand_on_the_card_and_go_again(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.node.keeping.speaking.ADDRESSES_EVERY_S", 0.1)
    node, ears = opened("ann"), Ears()
    addresses, ears.addresses = ears.addresses, ()
    url = "https://ann.example/boat.html"
    assert node.change_card([url]).unsaid == (url,)
    speak(node, ears)
    await_until(lambda: ears.claims(Card), "a card, though it is reached nowhere")
    assert ears.claims(Card) == [Card((), (url,))]
    ears.addresses = addresses
    await_until(lambda: len(ears.claims(Card)) == 2, "a card with both")
    assert ears.claims(Card)[-1] == Card(addresses, (url,))
    shown = node.card()
    assert (shown.peers, shown.urls, shown.unsaid) == (addresses, (url,), ())
    ears.addresses = ()
    node.change_card(drop=[url])
    await_until(lambda: len(ears.claims(Card)) == 3, "a card without it")
    assert ears.claims(Card)[-1] == Card(addresses, ())  # where it was reached is not taken back for that


@pytest.mark.parametrize(
    "urls",
    [["ftp://ann.example/"], ["https://ann.example/\u202e"], ["https://a b/"], [""], ["https://" + "a" * 400]],
)
def test_what_is_no_web_address_stands_on_no_card(opened: Callable[..., Node], urls: list[str]) -> None:
    node = opened("ann")
    node.change_card(["https://ann.example/"])
    with pytest.raises(BadConfig):
        node.change_card(urls)
    with pytest.raises(NotFound):
        node.change_card(drop=["https://other.example/"])
    assert node.card().unsaid == ("https://ann.example/",)


def test_a_sealed_key_whose_passphrase_is_not_there_says_why_it_is_silent(
    tmp_path: Path, speak: Callable[[Node, Ears], Speaking]
) -> None:
    config = config_of(tmp_path / "sealed", passphrase=lambda: "correct horse")
    found_account(config, "Ann")
    with Node.open(Config(tmp_path / "sealed", network=NETWORK, sealing=CHEAP)) as node:
        ears = Ears()
        spoken = speak(node, ears)
        await_until(lambda: spoken.problem, "a reason")
        assert "sealed" in spoken.problem
        time.sleep(0.5)
        assert ears.told == []
    with Node.open(config_of(tmp_path / "sealed")) as node:
        node.start_network()
        await_until(lambda: "sealed" in node.status().silent, "the same in its status")


# --- keeping


def test_a_receipt_says_what_is_here_is_renewed_when_it_grows_and_ends_with_the_promise(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of = author.account()
    publish(author, [f"post {number}" for number in range(5)])
    spoken = speak(keeper, ears)
    keeper._store.promises.keep(of, PROMISE)
    await_until(lambda: ears.promises, "word of the promise")
    time.sleep(1.5)
    assert ears.claims(Receipt) == []  # nothing is here yet
    copy_of(author, keeper, tmp_path)
    await_until(lambda: receipts(keeper, of), "a receipt")
    with author._store.snapshot() as snapshot:
        assert receipts(keeper, of)[0].heads == snapshot.heads_held(of)
    post = author.post("one more")
    copy_of(author, keeper, tmp_path)
    await_until(lambda: receipts(keeper, of)[0].heads[0].entry == post.id, "another receipt")
    keeper._store.promises.drop(of)
    await_until(lambda: not receipts(keeper, of)[0].heads, "the end of it")
    assert prove(spoken, of, post.id) == []  # what is promised no more is not shown


def test_what_was_promised_is_proven_and_what_was_not_is_not_answered(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, post = author.account(), author.post("hold this")
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    with author._store.snapshot() as snapshot:
        record = snapshot.record(post.id)
    assert record is not None
    assert record.body is not None
    (answer,) = prove(spoken, of, post.id)
    digest = digest_possession(NONCE, keeper.account(), answer.key, record.body)
    assert answer.claim == Possession(of, post.id, NONCE, digest)
    assert answer.account == keeper.account()
    own = keeper.post("mine")
    assert prove(spoken, keeper.account(), own.id) == []
    assert prove(spoken, of, own.id) == []


def test_what_is_withheld_is_absent_under_a_receipt_that_lists_it(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, post = author.account(), author.post("forbidden here")
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of), "a receipt")
    keeper._store.withheld.add(post.id, "a court said so", 1)
    *before, absent = prove(spoken, of, post.id)
    claim = absent.claim
    assert isinstance(claim, Absent)
    assert claim.reason == "a court said so"
    assert claim.receipt == before[-1].digest
    listed = before[-1].claim
    assert isinstance(listed, Receipt)
    assert [each.entry for each in listed.withheld] == [post.id]
    assert before[-1].time <= absent.time
    keeper._store.withheld.add(post.id, "another court said so", 1)

    def reasons() -> list[str]:
        return [each.reason for claim in ears.claims(Receipt)[-1:] for each in claim.withheld]

    await_until(lambda: reasons() == ["another court said so"], "a receipt with the new reason")


def test_a_receipt_speaks_of_pictures_once_they_came(
    opened: Callable[..., Node],
    speak: Callable[[Node, Ears], Speaking],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipting, "PICTURES_S", 0.0)
    monkeypatch.setattr(receipting, "_AGES_EVERY_S", 0.0)
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, file = author.account(), tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(file)
    media = author.attach(file, "a picture")
    author.post("look", media=[media])
    speak(keeper, ears)
    keeper._store.promises.keep(of, Promise(2**30, MediaPolicy.ALL, 0))
    copy_of(author, keeper, tmp_path)
    keeper._store.blobs.remove(media.cid)
    await_until(lambda: receipts(keeper, of) and receipts(keeper, of)[0].media is MediaPolicy.NONE, "a receipt")
    keeper._store.blobs.put(BytesIO(author._store.blobs.read(media.cid)))
    await_until(lambda: receipts(keeper, of)[0].media is MediaPolicy.ALL, "word of the picture", within_s=20)


def test_what_is_withheld_of_somebody_followed_is_absent_with_the_reason_and_nothing_else_is_answered(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, follower, ears = opened("author"), opened("follower"), Ears()
    of, post, other = author.account(), author.post("a secret"), author.post("no secret")
    copy_of(author, follower, tmp_path)
    spoken = speak(follower, ears)
    follower.withhold(post.id, "a court said so")
    assert prove(spoken, of, post.id) == []  # nobody said that it is carried here
    follower.follow(of)
    (absent,) = prove(spoken, of, post.id)
    assert absent.claim == Absent(of, post.id, "a court said so")
    assert prove(spoken, of, other.id) == []
    assert prove(spoken, follower.account(), post.id) == []
    follower.unwithhold(post.id)
    assert prove(spoken, of, post.id) == []


def test_what_was_never_here_is_absent_under_no_receipt_and_costs_no_look_at_the_account(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of = author.account()
    author.post("something")
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of) and ears.claims(Receipt), "a receipt")
    before = look(keeper, lambda snapshot: snapshot.receipts_of(of))
    for number in range(10):
        made_up = cid_of(b"never seen %d" % number)
        (absent,) = prove(spoken, of, made_up)
        assert absent.claim == Absent(of, made_up, NOT_HERE)
    assert look(keeper, lambda snapshot: snapshot.receipts_of(of)) == before
    assert len(ears.claims(Receipt)) == 1


def test_an_account_is_looked_at_anew_for_challenges_only_once_in_a_while(
    opened: Callable[..., Node],
    speak: Callable[[Node, Ears], Speaking],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipting.Receipting, "_note_withheld", lambda *_: None)  # nothing but challenges is a reason
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of = author.account()
    first, second = (author.post(f"post {number}").id for number in range(2))
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of) and ears.claims(Receipt), "a receipt")
    time.sleep(1.0)  # until another look is within its share of the time
    keeper._store.withheld.add(first, "a court said so", 1)
    receipt, absent = prove(spoken, of, first)
    assert absent.claim == Absent(of, first, "a court said so", receipt.digest)
    keeper._store.withheld.add(second, "another court", 1)
    # Its newest receipt still says that the second is here: what names none contradicts none.
    (absent,) = prove(spoken, of, second)
    assert absent.claim == Absent(of, second, "another court")
    assert [each.claim for each in prove(spoken, of, first)][-1] == Absent(of, first, "a court said so", receipt.digest)
    assert len(ears.claims(Receipt)) == 2


def test_an_index_that_lost_an_entry_makes_no_contradiction(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, post = author.account(), author.post("something")
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of), "a receipt")
    keeper._store._environment.run(lambda txn: txn.delete(Table.IDS, post.id.digest))
    (absent,) = prove(spoken, of, post.id)
    assert absent.claim == Absent(of, post.id, NOT_HERE)


def test_an_own_receipt_that_the_store_gave_up_is_given_again(
    opened: Callable[..., Node],
    speak: Callable[[Node, Ears], Speaking],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipting, "_AGES_EVERY_S", 0.2)
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of = author.account()
    author.post("something")
    promise(author, keeper, tmp_path)
    speak(keeper, ears)
    await_until(lambda: receipts(keeper, of) and ears.claims(Receipt), "a receipt")
    (own,) = look(keeper, lambda snapshot: snapshot.receipts_of(of))

    def give_up(txn: Txn) -> None:
        for key in [key for key, row in txn.scan(Table.STATEMENTS) if row.endswith(own.block)]:
            txn.delete(Table.STATEMENTS, key)

    keeper._store.statements._environment.run(give_up)
    await_until(lambda: receipts(keeper, of), "the receipt again")
    assert receipts(keeper, of) == [own.claim]


def test_a_receipt_that_the_store_does_not_take_is_tried_again(
    opened: Callable[..., Node],
    speak: Callable[[Node, Ears], Speaking],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receipting, "INTERVAL_S", 6.0)
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, refused = author.account(), []
    author.post("something")
    take = keeper._store.statements.take

    def refuse_once(
        items: Sequence[SignedStatement], now_ms: int, *, asked: frozenset[Cid] = frozenset()
    ) -> list[Took]:
        if of in asked and not refused:
            refused.append(items)
            return [Took.UNASKED]
        return take(items, now_ms, asked=asked)

    monkeypatch.setattr(keeper._store.statements, "take", refuse_once)
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: spoken.problem, "word of it")
    assert "no receipt for 1" in spoken.problem
    await_until(lambda: receipts(keeper, of), "a receipt")
    assert len(refused) == 1
    await_until(lambda: not spoken.problem, "the end of the problem")


def test_what_its_author_took_back_is_absent_as_deleted(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of, post = author.account(), author.post("a slip")
    author.delete(post.id)
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of), "a receipt")
    absent = prove(spoken, of, post.id)[-1].claim
    assert isinstance(absent, Absent)
    assert absent.reason == DELETED


def test_after_a_restart_nothing_is_said_twice(
    opened: Callable[..., Node], speak: Callable[[Node, Ears], Speaking], tmp_path: Path
) -> None:
    author, keeper, ears = opened("author"), opened("keeper"), Ears()
    of = author.account()
    promise(author, keeper, tmp_path)
    spoken = speak(keeper, ears)
    await_until(lambda: receipts(keeper, of) and ears.claims(Heads) and ears.claims(Card), "everything")
    spoken.stop()
    again = Ears()
    speak(keeper, again)
    time.sleep(2.0)
    assert again.told == []


# --- with a network


def test_a_keeper_is_seen_and_proven_within_seconds(opened: Callable[..., Node]) -> None:
    author, keeper, reader = opened("author"), opened("keeper"), opened("reader")
    of = author.account()
    publish(author, [f"post {number}" for number in range(30)])
    for node in (author, keeper, reader):
        node.start_network()
    keeper._store.promises.keep(of, PROMISE)
    reader.follow(of)
    introduce(keeper, author)
    introduce(reader, keeper)
    await_until(lambda: receipts(author, of), "a receipt at the author", within_s=30)
    await_until(lambda: [each for each in author._store.proofs.of(of) if each.ok], "a proof", within_s=30)
    assert author._store.proofs.of(of)[0].keeper == keeper.account()
    # The reader is not connected with the author: it has all of it from the keeper.
    await_until(lambda: receipts(reader, of), "a receipt at the reader", within_s=30)
    await_until(lambda: look(reader, lambda snapshot: snapshot.heads_told(of)), "heads at the reader", within_s=30)
    await_until(lambda: look(reader, lambda snapshot: snapshot.cards(of)), "the author's card", within_s=30)
    (card,) = look(reader, lambda snapshot: snapshot.cards(keeper.account()))
    assert isinstance(card.claim, Card)
    assert card.claim.peers == (address_of(keeper),)
    at = {node: node.status().peer or "" for node in (author, keeper, reader)}
    (followed,) = reader.people_at([at[author], at[keeper]]).items()
    assert (followed[0], [each.account for each in followed[1]]) == (at[author], [of]), "the keeper is a stranger to it"
    (kept,) = keeper.people_at([at[author]])[at[author]]
    (mine,) = keeper.people_at([at[keeper]])[at[keeper]]
    assert (kept.account, mine.is_own) == (of, True)
    assert author.people_at([]) == {}
    post = author.post("live")
    await_until(
        lambda: any(
            head.entry == post.id
            for told in look(reader, lambda snapshot: snapshot.heads_told(of))
            if isinstance(told.claim, Heads)
            for head in told.claim.heads
        ),
        "the new head",
        within_s=30,
    )
    assert author._running is not None
    assert author._running.view().silent == ""


def test_a_follower_that_lost_its_peer_finds_the_author_by_the_card(
    opened: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unhush.gossip.proto.choosing.Chooser.tell", lambda *_: ())  # by nothing else
    author, keeper, reader = (opened(name, exchange=True) for name in ("author", "keeper", "reader"))
    of = author.account()
    author.post("first")
    for node in (author, keeper, reader):
        node.start_network()
    keeper._store.promises.keep(of, PROMISE)
    reader.follow(of)
    introduce(keeper, author)
    introduce(reader, keeper)
    await_until(lambda: look(reader, lambda snapshot: snapshot.cards(of)), "the author's card", within_s=30)
    keeper.stop_network()
    post = author.post("after the keeper went")
    await_until(lambda: post.id in {each.id for each in reader.timeline().items}, "the post", within_s=40)
