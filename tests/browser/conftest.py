"""One real Chromium, driven once through everything; the tests look at what it saw.

Needs Chromium, Node.js and ``npm ci --ignore-scripts`` in this folder. Where one
of them is missing the tests skip and say which.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.node.web.fake import ME, FakeNode
from tests.node.web.payloads import PAYLOADS

from unhush.gossip.proto.invites import Invite, encode_invite
from unhush.identity.cid import Cid
from unhush.node import Config, Node, found_account
from unhush.node.views import (
    Concern,
    KeeperInfo,
    KeepingOffer,
    KeptBy,
    KeptSummary,
    PeerInfo,
    QuoteRef,
    ReactionCount,
    ReplyRef,
    Tally,
)
from unhush.node.web import WebServer

HERE = Path(__file__).parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
DRIVE_S = 110
NOON_MS = 1_791_892_800_000
PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
LOW_TIDE = """Low tide.

```
echo $(a long line of a terminal) | unhush post - # longer than a phone
```

> One hut! https://ines.example/hut
"""


def missing() -> str:
    """What this machine lacks for a real browser, or nothing."""
    if not any(map(shutil.which, NAMES)):
        return "no Chromium on this machine"
    if shutil.which("node") is None:
        return "no Node.js on this machine"
    if not (HERE / "node_modules" / "playwright-core").is_dir() or not (HERE / "node_modules" / "axe-core").is_dir():
        return "the npm packages are not installed: npm ci --ignore-scripts in tests/browser"
    return ""


def drive(address: str, folder: Path, **task: Any) -> dict[str, Any]:
    """Run the driver; what the browser saw."""
    executable = next(filter(None, map(shutil.which, NAMES)))
    path = folder / "task.json"
    path.write_text(json.dumps({"executable": executable, "address": address, **task}))
    done = subprocess.run(
        ["node", str(HERE / "drive.mjs"), str(path)], capture_output=True, text=True, timeout=DRIVE_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@dataclass(frozen=True)
class Sample:
    """A small world, and where in it to look."""

    node: FakeNode
    thread: Cid
    person: Cid
    own: Cid
    invite: str


def sample() -> Sample:
    node = FakeNode(now_ms=NOON_MS, words_waiting="/home/edda/.local/share/unhush/words.txt")
    ines = node.meet("ines", "Ines Lind")
    mara = node.meet("mara 2", "Mara Vesterdal", petname="mara", bio="Boat carpenter, slow letters.\nSmall machines.")
    node.hears(mara, "The answer is *yes*.", NOON_MS - 86_400_000, tags=("bread",))
    node.hears(mara, "So the keeper did it.", NOON_MS - 7_200_000, warning="Ending of a novel")
    node.hears(mara, "On Sunday mine went into the fjord. " * 60, NOON_MS - 3_600_000, title="How to lose a laptop")
    root = node.hears(
        ines,
        LOW_TIDE,
        NOON_MS - 60_000,
    )
    false = node.meet("false", "Ιnes Lind", followed=False)
    node.hears(false, "Send me your words.", NOON_MS - 50_000, reply=ReplyRef(root.id, root.id, ines, ines))
    reply = ReplyRef(root.id, root.id, ines, ines)
    own = node.hears(ME, "I sat on the chair.", NOON_MS - 40_000, reply=reply, kept_by=KeptBy(2, 1))
    node.hears(ME, "From the ferry.", NOON_MS - 25_000, kept_by=KeptBy(on_this_device_only=True))
    node.hears(ines, "Of course.", NOON_MS - 35_000, reply=ReplyRef(root.id, own.id, ines, ME), tags=("hut",))
    node.edit(own.id, "I sat on the chair. It held.")
    reactions = (ReactionCount("❤️", 3, True), ReactionCount("🌊", 12, False))
    node.hears(mara, "Look at this.", NOON_MS - 30_000, quote=QuoteRef(root.id, ines), quoted=root)
    node.hears(ines, "All of it.", NOON_MS - 20_000, tally=Tally(3, 2, 1, reactions, True))
    node.hears(mara, "", NOON_MS - 10_000, kind="repost", target=root.id, reposted=root)
    node.concerns = [
        Concern(node.hears(ines, "", NOON_MS, kind="react", emoji="🌊", target=own.id), ("reaction",), own),
        Concern(node.hears(ines, "Did it?", NOON_MS, reply=ReplyRef(root.id, own.id, ines, ME)), ("reply",), own),
    ]
    node.lists.create("by the sea")
    node.lists.add("by the sea", mara)
    node.addresses = [
        PeerInfo(f"/ip4/192.0.2.{number}/tcp/4470/p2p/{PEER}", str(number), number < 4, number == 2)
        for number in range(1, 9)
    ]
    said = Invite(
        mara, PEER, (f"/ip4/192.0.2.7/tcp/4470/p2p/{PEER}",), bytes(16), NOON_MS // 1000 + 60, "Mara", (ines,)
    )
    read = node.read_invite(encode_invite(said))
    node.accept(read, petname="mara", starter=(), timeout_s=0)
    node.invite(expires_s=60, uses=2, in_list=None)
    keep_some(node, mara, ines)
    return Sample(node, root.id, mara, own.id, read.link)


def keep_some(node: FakeNode, mara: Cid, ines: Cid) -> None:
    """Keepers of every sort, somebody who asks, and a promise that has run full."""
    library, jun = node.meet("library", "Ullsund Library"), node.meet("jun", "Jun Adeyemi", followed=False)
    proven = KeeperInfo(
        library, "Ullsund Library", True, True, NOON_MS - 3_600_000, NOON_MS, 212, 214, True, NOON_MS - 60_000
    )
    node.keeping = {
        library: proven,
        mara: replace(proven, account=mara, name="mara", covers=214),
        jun: replace(proven, account=jun, name="Jun Adeyemi", is_accepted=False, is_proven=False, proven_ms=None,
                     why="it was not asked yet to show what it holds"),
        ines: KeeperInfo(ines, "Ines Lind", True, True, None, None, 0, 214, False, None, "it signed no receipt yet"),
    }  # fmt: skip
    node.summary = KeptSummary(records=214, by_one=213, by_two=212, least=0, keepers=2)
    node.offers = [KeepingOffer(jun, "Jun Adeyemi", NOON_MS, is_kept=False)]
    for account in (ines, mara):
        node.keep(account, "1MiB", "90d")
    full = node.promised[mara]
    node.promised[mara] = replace(
        full, used_bytes=full.budget_bytes, records=812, receipt_ms=NOON_MS, until_ms=NOON_MS + 60_000,
        problem="its budget of 1 MiB is full: what comes is not taken in, and receipts stop at what is here",
    )  # fmt: skip


@pytest.fixture(scope="session")
def needs_browser() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def pages_seen(needs_browser: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every kind of page, in two widths and two themes."""
    world = sample()
    folder = tmp_path_factory.mktemp("pages")
    paths = {
        "home": "/", "thread": f"/post/{world.thread}", "person": f"/person/{world.person}", "people": "/people",
        "network": "/network", "write": "/write", "profile": "/profile", "lost": "/nothing",
        "activity": "/activity", "own": f"/post/{world.own}", "edit": f"/post/{world.own}/edit",
        "delete": f"/post/{world.own}/delete", "history": f"/post/{world.own}/history", "tag": "/tag?name=hut",
        "crowd": f"/person/{world.person}/followers", "lists": "/lists", "list": "/list?name=by%20the%20sea",
        "kept": "/kept",
    }  # fmt: skip
    with WebServer(world.node, clock_ms=lambda: NOON_MS) as server:
        pages = [{"name": name, "path": path} for name, path in paths.items()]
        seen = drive(server.one_time_address(), folder, axe=pages, shots=str(folder), shoot=["home"])
    with WebServer(FakeNode(now_ms=NOON_MS), clock_ms=lambda: NOON_MS) as server:
        empty = drive(server.one_time_address(), folder, axe=[{"name": "empty", "path": "/"}])
        door = drive(server.one_time_address(), folder, door=True)
    seen["axe"] += empty["axe"] + door["axe"]
    seen["shots"] = sorted(path.name for path in folder.glob("*.png") if path.stat().st_size > 5_000)
    return seen


@pytest.fixture(scope="session")
def invites_seen(needs_browser: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pages of invites, two of which only a form leads to."""
    world = sample()
    days = {"field": "#invite-days", "text": "3", "button": "form[action='/invites/new'] button"}
    text = {"field": "#invite-text", "text": world.invite, "button": "form[action='/invites/read'] button"}
    pages: list[dict[str, Any]] = [
        {"name": "invites", "path": "/invites"},
        {"name": "invite", "path": "/invites", "fill": days},
        {"name": "accept", "path": "/invites", "fill": text},
    ]
    with WebServer(world.node, clock_ms=lambda: NOON_MS) as server:
        return drive(server.one_time_address(), tmp_path_factory.mktemp("invites"), axe=pages)


@pytest.fixture(scope="session")
def hostile_seen(needs_browser: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every payload as name, text, title, warning, tag and language, on home, thread and person pages."""
    node = FakeNode(now_ms=NOON_MS)
    root = None
    for number, payload in enumerate(PAYLOADS):
        account = node.meet(f"person {number}", payload, bio=payload)
        shown = node.hears(account, payload, NOON_MS - number, lang=payload, tags=(payload,))
        node.hears(account, payload, NOON_MS - number, title=payload, warning=payload if number % 2 else None)
        root = root or shown
        node.hears(account, payload, NOON_MS - number, reply=ReplyRef(root.id, root.id, root.account, root.account))
    assert root is not None
    paths = [f"/?before={at}" for at in range(0, 3 * len(PAYLOADS), 30)]
    paths += [f"/post/{root.id}", "/people", *(f"/person/{account}" for account in list(node.people)[:5])]
    with WebServer(node, clock_ms=lambda: NOON_MS) as server:
        return drive(server.one_time_address(), tmp_path_factory.mktemp("hostile"), hostile=paths)


@pytest.fixture(scope="session")
def journey_seen(needs_browser: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real node: enter, write, answer, be told of news."""
    folder = tmp_path_factory.mktemp("journey")
    config = Config(folder / "home", network="test")
    found_account(config, "Edda Sol")
    with Node.open(config) as node, WebServer(node) as server:
        seen = drive(server.one_time_address(), folder, compose="Writing this from the ferry.")
        seen["kept"] = [shown.text for shown in node.timeline().items]
    return seen
