"""The command in processes of its own: signals, pipes, other processes on the home, what it imports, how fast it is."""

import json
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from tests.support.commands import (
    ANY_PORT,
    PATIENCE_S,
    Lines,
    await_until,
    command,
    environment,
    serving,
    start,
)
from tests.support.people import Person as Stranger

from unhush.node import Config, Node, found_account

NOBODY = str(Stranger("Nobody", seed=3).account)
# What a start may take of a processor on a crowded machine; on a quiet one the target is 150 ms.
SLOWEST_HELP_MS = 600.0


@pytest.fixture(scope="module")
def long_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough posts that what is printed of them does not fit into a pipe."""
    home = tmp_path_factory.mktemp("long") / "ann"
    found_account(Config(home), "Ann")
    with Node.open(home) as node:
        for number in range(60):
            node.post(f"{number} " + "x" * 4_000)
    return home


# -- run


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_run_says_one_line_when_it_is_ready_and_ends_well_when_told(home: Path, by: signal.Signals) -> None:
    with serving(home) as running:
        assert set(running.ready) == {"ready", "peer", "listen", "web"}
        assert running.ready["ready"] is True
        assert running.ready["web"] is None
        assert running.address.startswith("/ip4/127.0.0.1/tcp/")
        assert running.address.endswith(f"/p2p/{running.ready['peer']}")

        ended = running.end(by)

    assert (ended.code, ended.out, ended.err) == (0, b"", "")


def test_run_keeps_its_peer_id_and_answers_status_from_another_process(home: Path) -> None:
    with serving(home) as first:
        value = command("--home", home, "--json", "status").lines()[0]
        assert (value["running"], value["peer"], value["listen"]) == (True, first.ready["peer"], first.ready["listen"])
        assert b"running, 0 peers connected" in command("--home", home, "status").out
        first.end()
    with serving(home) as second:
        assert second.ready["peer"] == first.ready["peer"]
        second.end()


def test_run_speaks_to_people(home: Path) -> None:
    with start("--home", home, "run", "--listen", ANY_PORT, "--web", "off", "--no-lan") as process:
        lines = Lines(process.stdout)
        await_until(lambda: any(b"Ctrl-C" in line for line in lines.all), "the node says how to end it")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        lines.join()
    said = b"".join(lines.all).decode()
    assert said.startswith("Ann is on the network.\n  listening on  /ip4/127.0.0.1/tcp/")
    assert str(home / "words.txt") in said


def test_run_needs_an_account(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for home in (tmp_path / "empty", tmp_path / "none"):
        ended = command("--home", home, "--json", "run", "--web", "off")
        assert (ended.code, ended.out) == (3, b"")
        assert " init --name NAME" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--web", "0.0.0.0:0"], 1, "this computer only"),
        (["--web", "192.0.2.1:0"], 1, "this computer only"),
        (["--web", "8080"], 2, "HOST:PORT or off"),
        (["--web", "127.0.0.1:99999"], 2, "HOST:PORT or off"),
        (["--web", "off", "--listen", "nonsense"], 2, "not an address to listen on"),
        (["--web", "off", "--peer", "nonsense"], 2, "an address looks like"),
    ],
    ids=str,
)
def test_run_refuses_what_it_cannot_do_in_one_line(home: Path, arguments: list[str], code: int, why: str) -> None:
    ended = command("--home", home, "--json", "run", "--listen", ANY_PORT, *arguments)
    assert (ended.code, ended.out) == (code, b"")
    assert why in ended.err
    assert "Traceback" not in ended.err
    with Node.open(home) as node:
        assert node.peers() == ()


def test_the_page_is_on_this_machine_only_and_its_address_has_a_one_time_code(home: Path) -> None:
    with serving(home, "--web", "127.0.0.1:0") as running:
        address = urllib.parse.urlsplit(running.ready["web"])
        assert address.hostname is not None
        assert address.hostname.endswith(".localhost")
        assert len(address.fragment) >= 16
        stranger = urllib.request.Request(f"http://127.0.0.1:{address.port}/", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(stranger, timeout=PATIENCE_S)
        with refused.value:
            assert refused.value.code == 421
        listening = Path(f"/proc/{running.process.pid}/net/tcp").read_text().splitlines()
        port = f":{address.port:04X}"
        assert {line.split()[1] for line in listening if line.split()[1].endswith(port)} == {f"0100007F{port}"}

        assert running.end().code == 0


# -- together with other processes


def test_a_post_is_the_same_with_or_without_a_running_node(home: Path) -> None:
    with serving(home) as running:
        first = command("--home", home, "--json", "post", "while it runs").lines()[0]
        running.end()
    second = command("--home", home, "--json", "post", "while it does not").lines()[0]
    assert first["aid"] + 1 == second["aid"]
    texts = [value["text"] for value in command("--home", home, "--json", "timeline").lines()]
    assert texts == ["while it does not", "while it runs"]


def test_a_followed_timeline_prints_what_another_process_posts(home: Path) -> None:
    with Node.open(home) as node:
        node.post("before")
        with start("--home", home, "--json", "timeline", "--follow") as process:
            lines = Lines(process.stdout)
            await_until(lambda: len(lines.all) == 1, "what was there is printed")
            command("--home", home, "post", "--lines", given=b"one\ntwo\n")
            node.follow(NOBODY)  # not of the home timeline
            node.post("three")
            await_until(lambda: len(lines.all) >= 4, "what comes is printed")
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)
            lines.join()

    assert [json.loads(line)["text"] for line in lines.all] == ["before", "one", "two", "three"]


# -- pipes


@pytest.mark.parametrize("arguments", [["timeline"], ["--json", "timeline"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_makes_no_noise(long_home: Path, arguments: list[str]) -> None:
    with start("--home", long_home, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(PATIENCE_S) in (0, 1)
    assert err == b""


# -- imports and speed

OFFLINE = {
    "init": ["--home", "{new}", "init", "--name", "Zoe"],
    "post": ["post", "hello"],
    "post lines": ["post", "--lines"],
    "reply": ["reply", "{record}", "hello"],
    "timeline": ["timeline"],
    "doctor": ["doctor"],
    "thread": ["thread", "{record}"],
    "show": ["show", "{record}"],
    "show raw": ["show", "{record}", "--raw"],
    "follow": ["follow", NOBODY],
    "unfollow": ["unfollow", NOBODY],
    "quote": ["quote", "{record}", "hello"],
    "edit": ["edit", "{record}", "hello again"],
    "history": ["history", "{record}"],
    "repost": ["repost", "{record}"],
    "unrepost": ["unrepost", "{record}"],
    "react": ["react", "{record}", "🌊"],
    "unreact": ["unreact", "{record}"],
    "delete": ["delete", "{record}"],
    "search": ["search", "hello"],
    "media": ["media", "save", "{pictured}", "-o", "{new}.png"],
    "storage": ["storage"],
    "gc": ["gc"],
    "activity": ["activity"],
    "tag": ["tag", "sea"],
    "mute": ["mute", NOBODY],
    "unmute": ["unmute", NOBODY],
    "block": ["block", "--public", NOBODY],
    "unblock": ["unblock", NOBODY],
    "follows": ["follows"],
    "followers": ["followers"],
    "list": ["list", "create", "sea"],
    "profile set": ["profile", "set", "--bio", "x"],
    "profile show": ["profile", "show"],
    "peers": ["peers"],
    "peers add": ["peers", "add", "/ip4/192.0.2.7/tcp/4470/p2p/12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"],
    "peers remove": ["peers", "remove", "12D3KooWDVXAgaXUS79ZjYXeqaH2XbvSduWZULv1HPHAUbdR7ki9"],
    "card": ["card", "--url", "https://ann.example/boat.html"],
    "status": ["status"],
    "keep": ["keep", NOBODY],
    "keep list": ["keep", "--list"],
    "keepers": ["keepers"],
    "unkeep": ["unkeep", NOBODY],
    "withhold": ["withhold", "--list"],
    "drill": ["drill"],
    "audit": ["audit"],
    "export": ["export", "car", "{file}"],
    "import": ["import", "car", "{file}"],
    "verify": ["verify"],
    "verify deep": ["verify", "--deep"],
    "backup": ["backup", "{new}.tar"],
    "compact": ["compact"],
    "index": ["index", "rebuild"],
    "id show": ["id", "show", "--qr"],
    "id check": ["id", "check", "--words-from", "{copy}"],
    "device list": ["device", "list"],
    "identity log": ["identity", "log"],
    "invite list-open": ["invite", "--list-open"],
    "accept list": ["accept", "--list"],
}
# These ask peers for something first.
WANTS_DOING = 7  # the doctor has something to say
ONLINE = {"run", "restore", "rotate", "sync", "open"}
NETWORK_MODULES = {"libp2p", "aiohttp", "trio", "multiaddr"}
INDEPENDENT_CHECK = {"import", "verify deep"}  # read CIDs with somebody else's library too, on purpose

_RUN_AND_LIST = """
import sys
from unhush.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write("\\n" + " ".join({name.partition(".")[0] for name in sys.modules}))
sys.exit(code)
"""


def modules_of(*arguments: str) -> set[str]:
    """The packages a command had imported when it was done."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN_AND_LIST, *arguments],
        capture_output=True,
        check=False,
        input=b"one\n",
        timeout=PATIENCE_S,
        env=environment(),
    )
    assert done.returncode in (0, WANTS_DOING), done.stderr
    return set(done.stderr.decode().splitlines()[-1].split())


@pytest.mark.timeout(300)  # a process for each command, of a machine that others use too
def test_no_command_that_stays_off_the_network_imports_it(home: Path, tmp_path: Path) -> None:
    with Node.open(home) as node:
        record = str(node.post("hello").id)
        picture = BytesIO()
        Image.new("RGB", (2, 2)).save(picture, "PNG")
        pictured = str(node.post("look", media=[node.attach(picture.getvalue())]).id)
    copy = tmp_path / "copy.txt"
    shutil.copy2(home / "words.txt", copy)
    names = {
        "new": str(tmp_path / "new"),
        "record": record,
        "pictured": pictured,
        "file": str(tmp_path / "ann.car"),
        "copy": str(copy),
    }
    for name, words in OFFLINE.items():
        modules = modules_of("--home", str(home), *(word.format(**names) for word in words))
        assert "lmdb" in modules  # it did its work
        assert modules & NETWORK_MODULES == set(), name
        assert ("multiformats" in modules) == (name in INDEPENDENT_CHECK), name


def test_every_command_is_on_one_list_or_the_other() -> None:
    from unhush.cli.main import COMMANDS

    assert {name.split()[0] for name in OFFLINE} | ONLINE == set(COMMANDS)


def test_help_imports_nothing_a_page_of_text_does_not_need() -> None:
    for arguments in (["--help"], ["--version"]):
        assert modules_of(*arguments) & (NETWORK_MODULES | {"nacl", "lmdb", "cbor2", "multiformats", "rich"}) == set()


def test_help_is_there_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """By the processor: the clock is that of a machine with other things to do."""
    took_ms = []
    for _ in range(5):
        began_s = _processor_s()
        assert command("--help").code == 0
        took_ms.append((_processor_s() - began_s) * 1000)
    median = statistics.median(took_ms)
    with capsys.disabled():
        sys.stdout.write(f"\nunhush --help: median {median:.0f} ms of 5 (target 150)\n")
    assert median < SLOWEST_HELP_MS


def _processor_s() -> float:
    """What processes that ended have taken."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime
