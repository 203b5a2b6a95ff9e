"""A lifeboat opened in a real browser without network: it shows what holds and says what does not."""

import json
import random
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.browser.conftest import NAMES
from tests.node.web.payloads import PAYLOADS
from tests.support.commands import ANY_PORT
from tests.support.lifeboats import CHANGES, FLOODS, frames_of, make_sample, write_again

from unhush.identity.cid import cid_of
from unhush.identity.words import fingerprint
from unhush.node import Config, Node, Post, found_account
from unhush.node.errors import MalformedLifeboat
from unhush.node.lifeboat.checking import check_lifeboat
from unhush.node.lifeboat.form import decode_base64, parse_contents
from unhush.node.lifeboat.reading import PIECE_TAG
from unhush.node.lifeboat.report import LifeboatReport
from unhush.node.lifeboat.shell import CORE, modules_source
from unhush.node.web.sigil import draw_banner, draw_sigil
from unhush.storage.kinds import Profile

# One browser opens some twenty files for all tests here, and may share the machine with others.
pytestmark = pytest.mark.timeout(300)

HERE: Final = Path(__file__).parent
VECTORS: Final = HERE.parents[0] / "vectors"
LONG: Final = 5_000
RAW: Final = 6  # bytes changed in the file as it stands on the disk
# What a real browser is asked in every run. In Node.js the script is asked everything each time.
ALWAYS: Final = (
    "a letter",
    "a signature byte",
    "one entry dropped",
    "two entries swapped",
    "a picture",
    "raw 0",
    "raw 1",
)
# The figure is 3 s on a machine that does nothing else (docs/benchmarks.md); others use this one too.
PATIENCE_MS: Final = 60_000
_NAMES: Final = re.compile(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)
_HEX_OF_CID: Final = """
function hexOfCid(text) {
  const bits = [...text.slice(1)].map((char) => BASE32.indexOf(char).toString(2).padStart(5, "0")).join("");
  return hexOf(new Uint8Array((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2))));
}
"""


def run_node(program: str, folder: Path, task: dict[str, Any], timeout_s: int = 280) -> dict[str, Any]:
    path = folder / f"{program}.json"
    path.write_text(json.dumps(task))
    done = subprocess.run(
        ["node", str(HERE / program), str(path)], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def in_chromium(folder: Path, *files: dict[str, Any]) -> dict[str, Any]:
    executable = next(filter(None, map(shutil.which, NAMES)))
    return run_node("boat.mjs", folder, {"executable": executable, "files": list(files)})


def as_module(folder: Path) -> Path:
    """The checking part of the program with everything in it exported."""
    source = modules_source((*CORE, "sigil"))
    own = source[source.index("const WORDS") :]
    names = sorted({*_NAMES.findall(own), "hexOfCid"})
    path = folder / "core.mjs"
    path.write_text(f"{source}{_HEX_OF_CID}\nexport {{ {', '.join(names)} }};\n")
    return path


@pytest.fixture(scope="session")
def needs_script() -> None:
    if shutil.which("node") is None:
        pytest.skip("no Node.js on this machine")


@pytest.fixture(scope="module")
def boat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("boat"))


@pytest.fixture(scope="module")
def changed(boat: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample with each of the changes, packed again as if nothing had happened, and a few on the raw bytes."""
    folder = tmp_path_factory.mktemp("changed")
    made = {
        name: write_again(boat, folder / f"{number}.html", change)
        for number, (name, (change, _)) in enumerate(CHANGES.items())
    }
    data = boat.read_bytes()
    start, end = data.index(PIECE_TAG % 1), data.index(b"<noscript>")
    dice = random.Random(7)
    # White space around the data means nothing to a browser, and ``verify`` says of it that the page is another one.
    places = [at for at in range(start, end) if data[at] not in b" \n"]
    for number in range(RAW):
        at = dice.choice(places)
        letter = dice.choice([byte for byte in b"Aa0+/=<\xff" if byte != data[at]])
        made[f"raw {number}"] = folder / f"raw{number}.html"
        made[f"raw {number}"].write_bytes(data[:at] + bytes((letter,)) + data[at + 1 :])
    return made


# -- the checking part of the program, in Node.js


@pytest.fixture(scope="module")
def floods(boat: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files made to cost more than they weigh."""
    folder = tmp_path_factory.mktemp("floods")
    return {name: make(boat, folder / f"{at}.html") for at, (name, make) in enumerate(FLOODS.items())}


@pytest.fixture(scope="module")
def core_seen(
    needs_script: None,
    boat: Path,
    changed: dict[str, Path],
    floods: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    folder = tmp_path_factory.mktemp("core")
    accounts = [cid_of(bytes((number,))).bytes.hex() for number in range(40)]
    files = {name: str(path) for name, path in (changed | floods).items()} | {"clean": str(boat)}
    files["bare"] = str(boat)  # the last: from there on the browser lends no cryptography
    task: dict[str, Any] = {
        "core": str(as_module(folder)),
        "vectors": str(VECTORS),
        "accounts": accounts,
        "files": files,
    }
    task["contents"] = texts = list(changed_contents(boat))
    return run_node("core.mjs", folder, task) | {"texts": texts}


def test_the_script_agrees_with_every_vector(core_seen: dict[str, Any]) -> None:
    assert core_seen["wrong"] == []
    counts = core_seen["counts"]
    assert sorted(counts) == ["chains", "cids", "codec", "entries", "keys", "operations", "signatures", "trunk"]
    assert counts["signatures"] > 2 * 100  # by the browser's own code and by the library
    assert min(counts["codec"], counts["operations"], counts["trunk"]) > 150


def test_an_account_has_the_same_face_and_words_in_a_file_as_on_a_node(core_seen: dict[str, Any]) -> None:
    for number in range(40):
        account = cid_of(bytes((number,)))
        due = [draw_sigil(account), draw_banner(account), " ".join(fingerprint(account.digest))]
        assert core_seen["drawings"][account.bytes.hex()] == due


def changed_contents(boat: Path) -> Iterator[str]:
    """The list of contents as it stands in the file, and with each of its letters another."""
    text = b64encode(frames_of(boat)[0].encode()).decode()
    dice = random.Random(8)
    yield text
    for at in range(len(text)):
        for letter in dice.sample("Aa0+/=Zz9f", 2):
            yield text[:at] + letter + text[at + 1 :]


def test_the_script_reads_exactly_the_lists_of_contents_that_the_program_reads(core_seen: dict[str, Any]) -> None:
    for text, is_read in zip(core_seen["texts"], core_seen["contents"], strict=True):
        assert is_read is can_read(text), text
    assert core_seen["contents"][0] is True


def can_read(text: str) -> bool:
    packed = decode_base64(text.encode())
    try:
        return packed is not None and parse_contents(packed) is not None
    except MalformedLifeboat:
        return False


def said_by(report: LifeboatReport) -> list[tuple[Any, ...]]:
    return sorted(
        (problem["check"], problem["record"] or 0, problem["id"] or "", _bare(problem["text"]))
        for problem in report.to_json()["problems"]
    )


def _bare(text: str) -> str:
    """Without what a parser says in its own words."""
    return text.partition(":")[0]


def test_the_script_and_the_program_say_the_same_of_every_file(
    core_seen: dict[str, Any], boat: Path, changed: dict[str, Path], floods: dict[str, Path]
) -> None:
    for name, path in (changed | floods | {"clean": boat}).items():
        theirs, ours = core_seen["files"][name], check_lifeboat(path)
        assert theirs["problemCount"] == ours.problem_count, name
        problems = [
            (one["check"], one["record"] or 0, one["id"] or "", _bare(one["text"])) for one in theirs["problems"]
        ]
        assert sorted(problems) == said_by(ours), name
        for field in ("ok", "account", "words", "checked", "records", "operations", "blobs", "generation", "alarms"):
            assert theirs[field] == ours.to_json()[field], (name, field)
        assert theirs["asOf"] == ours.as_of, name


def test_without_the_cryptography_of_the_browser_the_library_checks(core_seen: dict[str, Any]) -> None:
    bare, clean = core_seen["files"]["bare"], core_seen["files"]["clean"]
    assert (clean.pop("verifier"), bare.pop("verifier")) == ("this browser", "the library in this file")
    assert bare["ok"]
    assert bare == clean


# -- the page


def new_node(folder: Path) -> Config:
    config = Config(folder / "home", network="test", listen=(ANY_PORT,))
    found_account(config, "Ann")
    return config


@pytest.fixture(scope="module")
def hostile_boat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account whose every word would be markup or program, were it not words."""
    folder = tmp_path_factory.mktemp("hostile-boat")
    with Node.open(new_node(folder)) as ann:
        links = (
            "https://ann.example/\u202egnp.exe\u2066",
            "https://ann.example/\u200b" + "a" * 300,
            "java\u200bscript:alert(1)",
        )
        ann._publish(Profile(PAYLOADS[0][:200], "\n".join(PAYLOADS)[:4_000], links=links))
        for payload in PAYLOADS:
            title = payload.encode()[:250].decode(errors="ignore")
            ann.post(Post(payload, tags=(title[:15],)))
            ann.post(Post(payload, title=title, warning=title))
        return ann.export_lifeboat(folder / "ann.html").file


@pytest.fixture(scope="module")
def long_boat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long-boat")
    with Node.open(new_node(folder)) as ann:
        posts = [Post(f"post {number}: the ferry went out and came *back*") for number in range(LONG)]
        for at in range(0, LONG, 500):
            ann._publish(*posts[at : at + 500])
        return ann.export_lifeboat(folder / "ann.html").file


@pytest.fixture(scope="module")
def pages_seen(  # noqa: PLR0917  # they are fixtures
    needs_browser: None,
    boat: Path,
    changed: dict[str, Path],
    hostile_boat: Path,
    long_boat: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What one browser saw of every file, one after the other."""
    folder = tmp_path_factory.mktemp("pages")
    program = folder / "program.html"
    program.write_bytes(boat.read_bytes().replace(b"async function main()", b"async function main ()"))
    files: list[dict[str, Any]] = [{"name": name, "path": str(changed[name])} for name in ALWAYS]
    files += [
        {"name": "clean", "path": str(boat), "axe": True, "routes": ["", "#/articles"], "steps": True},
        {"name": "no script", "path": str(boat), "script": False},
        {"name": "program", "path": str(program)},
        {"name": "hostile", "path": str(hostile_boat), "hostile": True},
        {"name": "long", "path": str(long_boat), "patience": PATIENCE_MS, "more": True},
    ]
    return in_chromium(folder, *files)


def test_the_clean_file_says_who_it_is_and_that_everything_holds(boat: Path, pages_seen: dict[str, Any]) -> None:
    page, report = pages_seen["clean"], check_lifeboat(boat)
    assert page["checked"] == "good"
    assert f"Checked by this file itself: {report.records} of {report.records} records" in page["said"]
    assert " ".join(report.words) in page["said"]
    assert page["problems"] == []
    assert page["posts"] > 15
    assert (page["errors"], page["outside"], page["dialogs"]) == ([], [], 0)


@pytest.fixture(scope="module")
def rest_seen(
    needs_browser: None, changed: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The changes that the browser is not asked of in every run."""
    files = [{"name": name, "path": str(path)} for name, path in changed.items() if name not in ALWAYS]
    return in_chromium(tmp_path_factory.mktemp("rest"), *files)


def seen_of(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    page: dict[str, Any] = request.getfixturevalue("pages_seen" if name in ALWAYS else "rest_seen")[name]
    return page


def each_of(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in names]


@pytest.mark.parametrize("name", each_of(CHANGES))
def test_the_page_says_what_was_changed(request: pytest.FixtureRequest, name: str) -> None:
    page, (_, check) = seen_of(request, name), CHANGES[name]
    assert page["checked"] == "bad"
    assert "not what was signed" in page["said"]
    assert any(f"[{check}]" in problem for problem in page["problems"]), page["problems"]
    assert page["outside"] == []


@pytest.mark.parametrize("name", each_of(f"raw {number}" for number in range(RAW)))
def test_the_page_says_that_a_byte_of_the_file_was_changed(request: pytest.FixtureRequest, name: str) -> None:
    page = seen_of(request, name)
    assert page["checked"] in ("bad", None)
    if page["checked"] == "bad":
        assert page["problems"]
    else:  # the end of the data was opened, and the program is swallowed by it
        assert "Nothing here is checked yet" in page["said"]


def test_a_changed_program_does_not_run_and_the_page_says_that_nothing_is_checked(pages_seen: dict[str, Any]) -> None:
    page = pages_seen["program"]
    assert page["checked"] is None
    assert "Nothing here is checked yet" in page["said"]
    assert page["posts"] == 0
    assert any("Content Security Policy" in error for error in page["errors"])


def test_without_script_the_facts_of_the_file_can_be_read(boat: Path, pages_seen: dict[str, Any]) -> None:
    page = pages_seen["no script"]
    assert "Nothing here is checked yet" in page["said"]
    assert str(frames_of(boat)[0].account) in page["facts"]
    assert page["posts"] == 0


def test_a_person_with_a_keyboard_finds_reads_and_goes_on(pages_seen: dict[str, Any]) -> None:
    steps = pages_seen["clean"]["steps"]
    assert steps["first"] == "Skip to content"
    assert steps["found"] == "2 posts found"
    assert len(steps["shown"]) == 2
    assert "a word without a mistake" in steps["shown"][0]
    assert "a word without a mistake" in steps["focus"]
    assert [text.strip() for text in steps["versions"]] == [
        "a word with a misteak",
        "a word without a mistake, and a needle",
    ]


def test_on_paper_nothing_is_folded_away_or_cut_short(pages_seen: dict[str, Any]) -> None:
    steps = pages_seen["clean"]["steps"]
    assert steps["printed"] == [1, 0]
    assert steps["after"] == [0, 1]


def test_the_page_is_free_of_axe_violations_and_does_not_scroll_sideways(pages_seen: dict[str, Any]) -> None:
    looks = pages_seen["clean"]["axe"]
    assert len(looks) == 2 * 2 * 2
    assert [look for look in looks if look["violations"] or look["overflow"] > 0] == []


def test_no_payload_runs_or_leaves_markup(pages_seen: dict[str, Any]) -> None:
    page = pages_seen["hostile"]

    assert page["checked"] == "good"
    clean = ["https://ann.example/gnp.exe", "https://ann.example/" + "a" * 300]
    named = [[each, each] for each in clean]
    assert page["hostile"] == {"ran": 0, "foreign": 0, "links": 0, "unseen": False, "named": named}
    assert (page["dialogs"], page["outside"], page["errors"]) == (0, [], [])
    assert page["posts"] >= 40


def test_five_thousand_posts_are_checked_and_shown_while_a_person_waits(pages_seen: dict[str, Any]) -> None:
    page = pages_seen["long"]

    assert page["checked"] == "good"
    assert "5,002 of 5,002 records" in page["said"]
    assert page["milliseconds"] < PATIENCE_MS
    assert page["posts"] == 40
    assert page["more"] == [40, 40]
