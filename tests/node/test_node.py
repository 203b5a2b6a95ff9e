"""The node as a library: every verb on one home, without a network."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.commands import await_until, command, serving
from tests.support.nodes import hand
from tests.support.people import Person as Stranger

from unhush.node import Config, Node, Post, Shown, found_account
from unhush.node.config import wall_clock_ms
from unhush.node.errors import (
    BadConfig,
    HomeInUse,
    MalformedCar,
    MalformedCid,
    MalformedRecord,
    NoAccount,
    NotFound,
    StoreUnreadable,
)
from unhush.storage.kinds import Post as Body
from unhush.storage.kinds import Reply

BOB = Stranger("Bob", seed=2).account
NOBODY = Stranger("Nobody", seed=3).account


def texts(items: tuple[Shown, ...]) -> list[str]:
    return [shown.text for shown in items]


def kinds(items: list[Shown]) -> list[str]:
    return [shown.kind for shown in items]


# -- writing


def test_a_post_is_shown_as_it_was_written(ann: Node) -> None:
    post = Post("# Tide\n\nlow", title="Tide", lang="en", tags=("sea", "tide"), warning="wet")

    shown = ann.post(post)

    assert ann.show(shown.id) == shown
    assert (shown.text, shown.title, shown.lang, shown.warning, shown.tags) == (
        "# Tide\n\nlow",
        "Tide",
        "en",
        "wet",
        ("sea", "tide"),
    )
    assert (shown.kind, shown.name, shown.is_own, shown.reply) == ("post", "Ann", True, None)
    assert shown.account == ann.account()


def test_a_post_outlives_the_node_that_wrote_it(new_node: Callable[[str], Node]) -> None:
    first = new_node("Ann")
    written = first.post("kept")
    first.close()

    assert new_node("Ann").show(str(written.id)).text == "kept"


def test_a_text_that_is_too_long_is_refused_and_nothing_is_stored(ann: Node) -> None:
    before = ann.last_aid()

    with pytest.raises(MalformedRecord, match="at most 49,152"):
        ann.post("x" * 49_153)

    assert ann.last_aid() == before
    assert ann.timeline().items == ()


def test_a_reply_to_a_reply_joins_the_thread_of_the_first_post(ann: Node) -> None:
    root = ann.post("root")
    first = ann.reply(root.id, "first")
    second = ann.reply(str(first.id), Post("second", lang="en"))

    assert second.reply is not None
    assert (second.reply.root, second.reply.parent, second.lang) == (root.id, first.id, "en")
    for each in (root, first, second):
        thread = ann.thread(each.id)
        assert thread.root is not None
        assert thread.root.id == root.id
        assert texts(thread.replies) == ["first", "second"]


def test_a_reply_to_nothing_is_refused(ann: Node) -> None:
    before = ann.last_aid()
    with pytest.raises(NotFound):
        ann.reply(NOBODY, "hello?")
    assert ann.last_aid() == before


def test_following_twice_is_following_once_and_keeps_the_newest_petname(ann: Node) -> None:
    first = ann.follow(BOB, "Bobby")
    aid = ann.last_aid()
    again = ann.follow(str(BOB), " Robert ")

    assert (first.is_followed, first.petname, again.petname) == (True, "Bobby", "Robert")
    assert ann.last_aid() == aid
    assert [person.account for person in ann.follows()] == [BOB]
    assert ann.follow(BOB, "").petname is None


def test_after_unfollowing_nobody_is_followed_and_following_again_works(ann: Node) -> None:
    ann.follow(BOB)
    ann.unfollow(BOB)
    assert ann.follows() == ()
    with pytest.raises(NotFound):
        ann.unfollow(BOB)

    assert ann.follow(BOB).is_followed


def test_nobody_follows_themselves(ann: Node) -> None:
    with pytest.raises(BadConfig, match="your own account"):
        ann.follow(ann.account())


@pytest.mark.parametrize("petname", ["x" * 201, "\udcff"])
def test_a_petname_that_cannot_be_is_refused_before_anything_is_written(ann: Node, petname: str) -> None:
    before = ann.last_aid()
    with pytest.raises(BadConfig, match="petname"):
        ann.follow(BOB, petname)
    assert ann.last_aid() == before
    assert ann.follows() == ()


def test_a_deleted_post_leaves_the_timeline_and_says_so_when_shown(ann: Node) -> None:
    post = ann.post("regretted")
    ann.delete(post.id)

    assert ann.timeline().items == ()
    assert (ann.show(post.id).is_deleted, ann.show(post.id).text) == (True, "")
    with pytest.raises(NotFound):
        ann.delete(NOBODY)


def test_a_profile_changes_only_in_what_is_named(ann: Node) -> None:
    assert ann.set_profile(bio="of the sea").name == "Ann"
    person = ann.set_profile(name=" Ann B. ")

    assert (person.name, person.bio, person.is_own) == ("Ann B.", "of the sea", True)
    assert ann.status().name == "Ann B."
    with pytest.raises(BadConfig):
        ann.set_profile(name="  ")
    with pytest.raises(MalformedRecord):
        ann.set_profile(bio="x" * 5_001)


# -- reading


def test_the_timeline_is_read_to_its_end_by_cursors_without_a_gap_or_a_double(ann: Node) -> None:
    for number in range(12):
        ann.post(f"post {number}")

    seen: list[str] = []
    page = ann.timeline(limit=5)
    while True:
        assert len(page.items) <= 5
        seen += texts(page.items)
        if page.next is None:
            break
        page = ann.timeline(limit=5, before=page.next)

    assert seen == [f"post {number}" for number in reversed(range(12))]
    assert texts(ann.person_posts(ann.account(), limit=3).items) == ["post 11", "post 10", "post 9"]


def test_what_is_not_kept_here_is_not_found(ann: Node) -> None:
    for ask in (ann.show, ann.thread, ann.raw, ann.person):
        with pytest.raises(NotFound):
            ask(NOBODY)
    assert ann.person_posts(NOBODY).items == ()


@pytest.mark.parametrize("name", ["", "x", "bafy", f"{NOBODY}x", str(NOBODY).upper(), "\udcff", f"z{NOBODY}"])
def test_a_name_that_is_no_id_is_refused_as_such(ann: Node, name: str) -> None:
    for ask in (ann.show, ann.thread, ann.raw, ann.person, ann.follow, ann.unfollow):
        with pytest.raises(MalformedCid):
            ask(name)


def test_events_begin_after_their_cursor_and_go_on_from_any_of_them(ann: Node) -> None:
    written = [ann.post(f"post {number}") for number in range(5)]
    everything = list(ann.events(timeout_s=0))
    assert kinds(everything) == ["profile"] + ["post"] * 5

    later = list(ann.events(since=written[2].aid, timeout_s=0))

    assert texts(tuple(later)) == ["post 3", "post 4"]
    assert [shown.aid for shown in everything] == sorted(shown.aid for shown in everything)
    ann.follow(BOB)
    assert kinds(list(ann.events(written[4].aid, timeout_s=0))) == ["follow"]
    assert list(ann.events(written[4].aid, timeout_s=0, home_only=True)) == []
    assert ann.count_new(written[1].aid) == 3


def test_events_see_what_another_process_posts(ann: Node) -> None:
    since = ann.last_aid()
    seen: list[str] = []

    def watch() -> None:
        seen.append(next(ann.events(since, timeout_s=30)).text)

    watcher = threading.Thread(target=watch)
    watcher.start()
    post_by_another_process(ann, "from elsewhere")
    watcher.join(30)

    assert seen == ["from elsewhere"]


def post_by_another_process(node: Node, text: str) -> None:
    program = (
        "import sys; from pathlib import Path; from unhush.node import Config, Node\n"
        "with Node(Config(Path(sys.argv[1]), network='test')) as node: node.post(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", program, str(node.config.home), text], check=True, timeout=60)


def test_events_end_when_another_thread_closes_the_node(ann: Node) -> None:
    seen: list[str] = []
    began = threading.Event()

    def watch() -> None:
        for shown in ann.events():
            seen.append(shown.kind)
            began.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert began.wait(30)
    ann.close()
    watcher.join(30)

    assert not watcher.is_alive()
    assert seen == ["profile"]


def test_many_threads_share_one_node(ann: Node) -> None:
    def post(number: int) -> Shown:
        shown = ann.post(f"post {number}")
        assert ann.show(shown.id).text == f"post {number}"
        ann.timeline(limit=5)
        return shown

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(post, range(64)))

    assert len({shown.id for shown in written}) == 64
    assert sorted(texts(ann.timeline(limit=100).items)) == sorted(f"post {number}" for number in range(64))
    assert ann.verify().is_clean


# -- homes


def test_a_home_without_an_account_reads_but_does_not_write(new_config: Callable[[str], Config]) -> None:
    with Node.open(new_config("empty")) as node:
        for write in (
            lambda: node.post("x"),
            lambda: node.follow(BOB),
            lambda: node.unfollow(BOB),
            lambda: node.set_profile("x"),
            node.account,
            node.start_network,
        ):
            with pytest.raises(NoAccount, match="unhush init"):
                write()

        assert node.timeline().items == ()
        assert node.follows() == ()
        assert node.verify().is_clean
        status = node.status()
        assert (status.account, status.records, status.network_running) == (None, 0, False)


def test_one_home_is_one_node_in_a_process(ann: Node) -> None:
    with pytest.raises(HomeInUse, match="share one Node"):
        Node.open(ann.config)
    assert ann.post("still here").text == "still here"


def test_a_home_of_another_network_is_refused_and_stays_as_it_was(new_node: Callable[[str], Node]) -> None:
    node = new_node("Ann")
    node.close()
    with pytest.raises(StoreUnreadable, match="network"):
        Node.open(node.config.home)
    assert new_node("Ann").status().name == "Ann"


@pytest.mark.parametrize(
    "settings",
    [
        {"network": ""},
        {"network": "Main"},
        {"network": "x" * 33},
        {"listen": ("nonsense",)},
        {"listen": ("/ip4/0.0.0.0/tcp/65536",)},
        {"listen": ("/ip4/::/tcp/1",)},
        {"listen": ("/ip6/127.0.0.1/tcp/1",)},
        {"listen": ("/ip4/127.0.0.1/udp/1",)},
        {"listen": ("/ip4/127.0.0.1/tcp/",)},
        {"listen": ("/ip4/127.0.0.1/tcp/٣",)},
        {"peers": ("nonsense",)},
        {"peers": ("/ip4/127.0.0.1/tcp/4470",)},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(BadConfig):
        Config(tmp_path, **settings)  # type: ignore[arg-type]  # wrong on purpose
    assert list(tmp_path.iterdir()) == []


def test_good_addresses_are_taken(tmp_path: Path) -> None:
    peer = "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"
    config = Config(tmp_path, listen=("/ip4/0.0.0.0/tcp/0", "/ip6/::1/tcp/4470"), peers=(peer,))
    assert config.peers == (peer,)


def test_an_address_is_remembered_offline_and_forgotten_when_told(ann: Node) -> None:
    address = "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"
    ann.add_peer(f" {address} ")
    ann.add_peer(address)

    (peer,) = ann.peers()
    assert (peer.address, peer.connected) == (address, False)
    assert peer.peer == address.rpartition("/")[2]
    with pytest.raises(BadConfig, match="an address looks like"):
        ann.add_peer("192.0.2.7:4470")
    ann.forget_peer(address)
    assert ann.peers() == ()
    with pytest.raises(NotFound):
        ann.forget_peer(address)


def test_a_second_running_node_on_a_home_is_refused_in_whatever_process(tmp_path: Path) -> None:
    home = tmp_path / "ann"
    found_account(Config(home), "Ann")
    with serving(home) as running, Node.open(Config(home, listen=("/ip4/127.0.0.1/tcp/0",))) as node:
        with pytest.raises(HomeInUse, match="already running"):
            node.start_network()
        refused = command("--home", home, "run", "--listen", "/ip4/127.0.0.1/tcp/0", "--web", "off")
        assert (refused.code, refused.out) == (1, b"")
        assert refused.err == f"unhush: a node is already running on {home}\n"

        status = node.status()
        assert (status.network_running, status.peer) == (True, running.ready["peer"])
        running.kill()
        await_until(lambda: not node.status().network_running, "the killed node is no longer said to run")
        node.start_network()
        assert node.status().network_running


# -- files


def test_an_account_travels_as_a_file_into_a_home_without_account(
    ann: Node, new_config: Callable[[str], Config], tmp_path: Path
) -> None:
    ann.post("one")
    root = ann.post("two")
    ann.reply(root.id, "three")
    contents = ann.export_car(tmp_path / "ann.car")
    assert contents.roots[0] == ann.account()

    with Node.open(new_config("attic")) as attic:
        first = attic.import_car(tmp_path / "ann.car")
        again = attic.import_car(str(tmp_path / "ann.car"))

        assert (first.stored, first.known, first.refused) == (5, 0, 0)
        assert (again.stored, again.known, again.refused) == (0, 5, 0)
        assert first.accounts == (ann.account(),)
        assert texts(attic.person_posts(ann.account()).items) == ["three", "two", "one"]
        assert attic.verify().is_clean
        with pytest.raises(NoAccount):
            attic.export_car(tmp_path / "mine.car")


def test_a_damaged_file_is_refused_whole(ann: Node, new_config: Callable[[str], Config], tmp_path: Path) -> None:
    ann.post("one")
    ann.export_car(tmp_path / "ann.car")
    data = bytearray((tmp_path / "ann.car").read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.car").write_bytes(data)

    with Node.open(new_config("attic")) as attic:
        with pytest.raises(MalformedCar):
            attic.import_car(tmp_path / "bad.car")
        assert attic.last_aid() == 0
        with pytest.raises(NotFound):
            attic.import_car(tmp_path / "no.car")


def test_an_export_that_fails_leaves_the_older_file_as_it_was(ann: Node, tmp_path: Path) -> None:
    (tmp_path / "ann.car").write_bytes(b"older")
    with pytest.raises(NotFound):
        ann.export_car(tmp_path / "ann.car", NOBODY, force=True)
    assert (tmp_path / "ann.car").read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["ann.car"]


def test_a_record_that_is_not_in_force_is_not_answered_or_announced_and_names_no_thread(ann: Node) -> None:
    bob = Stranger("Bob", seed=2, clock_ms=wall_clock_ms)
    ann.follow(bob.account)
    good, root = bob.post("good"), bob.post("void")
    answer = bob.write(Body("void too", reply=Reply(root.cid, root.cid, bob.account, bob.account)))
    hand(ann, [bob.incept, good.arrival, root.arrival, answer.arrival])
    since = ann.show(good.cid).aid - 1
    assert [shown.text for shown in ann.events(since, 0)] == ["good", "void", "void too"]
    assert ann.thread(answer.cid).root_id == root.cid

    hand(ann, [bob.revoke(bob.key, good.entry)])

    assert [shown.text for shown in ann.events(since, 0)] == ["good"]
    assert ann.thread(answer.cid).root_id == answer.cid
    for record in (root, answer):
        with pytest.raises(NotFound, match="not in force"):
            ann.reply(record.cid, "mine")
    assert ann.reply(good.cid, "mine").text == "mine"
