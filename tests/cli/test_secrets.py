"""Where secrets come from, and that a wrong one is said plainly and changes nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.cli.conftest import Cli, Said
from tests.cli.homes import PASSPHRASE, bytes_of, private, seal, words_of
from tests.cli.terminal import terminal
from tests.support.commands import ANY_PORT, command, serving

from unhush.identity.keys import SigningKey
from unhush.identity.request import encode_request
from unhush.identity.words import Words
from unhush.node import Config, found_account

STRANGER = Words(bytes(range(32)))


# -- the passphrase


def test_a_sealed_key_is_opened_by_a_file_named_before_or_after_the_command_or_by_the_environment(
    ann: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = seal(ann, tmp_path)

    assert ann.json("--passphrase-file", file, "post", "before").code == 0
    assert ann.json("post", "after", "--passphrase-file", file).code == 0
    monkeypatch.setenv("UNHUSH_PASSPHRASE_FILE", file)
    assert ann.json("post", "environment").code == 0
    assert ann.json("timeline").code == 0


def test_the_option_wins_over_the_environment(ann: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = seal(ann, tmp_path)
    monkeypatch.setenv("UNHUSH_PASSPHRASE_FILE", private(tmp_path / "wrong.txt", "not it"))
    assert ann.json("post", "x").code == 4
    assert ann.json("post", "x", "--passphrase-file", file).code == 0


def test_the_passphrase_is_the_first_line_whatever_ends_it(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    for text in (PASSPHRASE, f"{PASSPHRASE}\n", f"{PASSPHRASE}\r\n", f"{PASSPHRASE}\nand more\n"):
        assert ann.json("post", "x", "--passphrase-file", private(tmp_path / "file", text)).code == 0, text
    assert ann.json("post", "x", "--passphrase-file", private(tmp_path / "file", f" {PASSPHRASE}")).code == 4


def test_what_needs_no_key_needs_no_passphrase(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    for arguments in (["status"], ["timeline"], ["id", "show"], ["device", "list"], ["identity", "log"], ["verify"]):
        assert ann.json(*arguments).code == 0, arguments


class FakeKeyring(ModuleType):
    """What the extra brings: a keyring of a desktop, or a broken one."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.is_broken = False

    def get_password(self, service: str, name: str) -> str | None:
        self._fail()
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, secret: str) -> None:
        self._fail()
        self.kept[service, name] = secret

    def delete_password(self, service: str, name: str) -> None:
        self._fail()
        del self.kept[service, name]

    def _fail(self) -> None:
        if self.is_broken:
            raise RuntimeError("no bus")


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    fake = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)
    return fake


def test_the_keyring_holds_the_passphrase_if_told_to_and_no_longer_if_told_so(
    ann: Cli, tmp_path: Path, keyring: FakeKeyring
) -> None:
    file = private(tmp_path / "new.txt", PASSPHRASE)
    said = ann.json("id", "passphrase", "--new-passphrase-file", file, "--keyring")
    assert said.lines() == [{"sealed": True, "keyring": True}]
    assert keyring.kept == {("unhush", str(ann.home)): PASSPHRASE}
    assert ann.json("post", "by the keyring").code == 0

    other = private(tmp_path / "other.txt", "another one")
    assert ann.json("id", "passphrase", "--new-passphrase-file", other).lines() == [{"sealed": True, "keyring": True}]
    assert list(keyring.kept.values()) == ["another one"]
    assert ann.json("post", "it follows a change").code == 0

    assert ann.json("id", "passphrase", "--no-keyring").lines() == [{"keyring": False, "removed": True}]
    assert keyring.kept == {}
    assert ann.json("post", "x").code == 4


def test_the_keyring_alone_changes_no_passphrase(ann: Cli, tmp_path: Path, keyring: FakeKeyring) -> None:
    file = seal(ann, tmp_path)
    before = bytes_of(ann.home)
    assert ann.json("id", "passphrase", "--keyring").code == 4
    wrong = private(tmp_path / "wrong", "not it")
    assert ann.json("id", "passphrase", "--keyring", "--passphrase-file", wrong).code == 4
    assert keyring.kept == {}
    said = ann.json("id", "passphrase", "--keyring", "--passphrase-file", file)
    assert said.one() == {"sealed": True, "keyring": True}
    assert list(keyring.kept.values()) == [PASSPHRASE]
    assert bytes_of(ann.home) == before


def test_a_wrong_entry_in_the_keyring_is_no_dead_end(ann: Cli, tmp_path: Path, keyring: FakeKeyring) -> None:
    file = seal(ann, tmp_path)
    keyring.kept["unhush", str(ann.home)] = "of another time"
    assert ann.json("post", "x").code == 4
    assert ann.json("post", "x", "--passphrase-file", file).code == 0


def test_a_broken_keyring_stops_nothing_that_can_go_on(ann: Cli, tmp_path: Path, keyring: FakeKeyring) -> None:
    file = seal(ann, tmp_path)
    keyring.is_broken = True
    assert ann.json("post", "x", "--passphrase-file", file).code == 0
    assert "--passphrase-file" in ann.json("post", "x").err
    said = ann.json("id", "passphrase", "--new-passphrase-file", file, "--keyring", "--passphrase-file", file)
    assert (said.code, said.lines()) == (1, [{"sealed": True, "keyring": False}])
    assert "the keyring did not take it" in said.err


def test_without_the_extra_the_keyring_is_refused_before_anything_changes(
    ann: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    before = bytes_of(ann.home)
    said = ann.json("id", "passphrase", "--new-passphrase-file", private(tmp_path / "new", "x"), "--keyring")
    assert (said.code, bytes_of(ann.home) == before) == (2, True)
    assert "keyring" in said.err


# -- a person at the terminal


def test_a_person_is_asked_for_the_passphrase_and_may_mistype_twice(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    with terminal(ann.home, "post", "typed") as person:
        person.answer("Passphrase: ", "wrong one")
        person.answer("does not open it. Passphrase: ", "wrong one")
        person.answer("the same again. Passphrase: ", "wrong two")
        person.answer("does not open it. Passphrase: ", PASSPHRASE)
        assert person.end() == 0
    assert PASSPHRASE not in person.shown
    assert [each["text"] for each in ann.json("timeline").lines()] == ["typed"]


def test_after_three_wrong_passphrases_nothing_is_written(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    before = bytes_of(ann.home)
    with terminal(ann.home, "post", "typed") as person:
        for number in range(3):
            person.answer("assphrase: ", f"wrong {number}")
        assert person.end() == 4
    assert "does not open" in person.shown.splitlines()[-1]
    assert bytes_of(ann.home) == before


def test_the_terminal_is_asked_also_while_the_input_is_a_pipe(ann: Cli, tmp_path: Path) -> None:
    seal(ann, tmp_path)
    (tmp_path / "text").write_text("from a file")
    with terminal(ann.home, "post", "-", given=tmp_path / "text") as person:
        person.answer("Passphrase: ", PASSPHRASE)
        assert person.end() == 0
    assert [each["text"] for each in ann.json("timeline").lines()] == ["from a file"]


def test_the_words_are_asked_for_hidden_and_may_be_mistyped(ann: Cli) -> None:
    words = Path(words_of(ann)).read_text().strip()
    with terminal(ann.home, "identity", "freeze") as person:
        person.answer("24 words", "one two three")
        person.expect("recovery needs 24 words, these are 3")
        person.answer("24 words", words)
        assert person.end() == 0
    assert words not in person.shown
    assert ann.json("status").one()["alarms"] == ["frozen"]


# -- what is wrong is said, and changes nothing


def with_wrong_words(ann: Cli, folder: Path) -> Said:
    words = Path(words_of(ann)).read_text().split()
    return freeze(ann, folder, [*words[:23], "unhush"])


def with_a_wrong_checksum(ann: Cli, folder: Path) -> Said:
    words = Path(words_of(ann)).read_text().split()
    for first in ("abandon", "zoo", "able"):
        said = freeze(ann, folder, [first, *words[1:]])
        if "checksum" in said.err:
            return said
    return said


def with_too_few_words(ann: Cli, folder: Path) -> Said:
    return freeze(ann, folder, Path(words_of(ann)).read_text().split()[:12])


def with_the_words_of_another_account(ann: Cli, folder: Path) -> Said:
    return freeze(ann, folder, STRANGER.text().split())


def with_words_that_others_could_read(ann: Cli, folder: Path) -> Said:
    copy = Path(private(folder / "copy.txt", Path(words_of(ann)).read_text()))
    copy.chmod(0o644)
    return ann.json("identity", "freeze", "--words-from", str(copy))


def with_words_from_nowhere(ann: Cli, folder: Path) -> Said:
    return ann.json("identity", "freeze", "--words-from", str(folder / "none.txt"))


def with_nobody_to_ask_for_the_words(ann: Cli, _folder: Path) -> Said:
    return ann.json("identity", "freeze")


def freeze(ann: Cli, folder: Path, words: list[str]) -> Said:
    return ann.json("identity", "freeze", "--words-from", private(folder / "given.txt", " ".join(words)))


def with_a_wrong_passphrase(ann: Cli, folder: Path) -> Said:
    return ann.json("post", "x", "--passphrase-file", private(folder / "wrong.txt", "not it"))


def with_an_empty_passphrase(ann: Cli, folder: Path) -> Said:
    return ann.json("post", "x", "--passphrase-file", private(folder / "empty.txt", "\nsecond line"))


def with_nobody_to_ask_for_the_passphrase(ann: Cli, _folder: Path) -> Said:
    return ann.json("post", "x")


def with_a_passphrase_file_that_others_could_read(ann: Cli, folder: Path) -> Said:
    (folder / "passphrase.txt").chmod(0o644)
    return ann.json("post", "x", "--passphrase-file", str(folder / "passphrase.txt"))


def with_a_passphrase_file_that_is_a_link(ann: Cli, folder: Path) -> Said:
    (folder / "link").symlink_to(folder / "passphrase.txt")
    return ann.json("post", "x", "--passphrase-file", str(folder / "link"))


def with_a_code_for_another_network(ann: Cli, _folder: Path) -> Said:
    code = encode_request(SigningKey(bytes(32)), "phone", "elsewhere")
    return ann.json("device", "add", code, "--words-from", words_of(ann))


def with_a_code_cut_short(ann: Cli, _folder: Path) -> Said:
    code = encode_request(SigningKey(bytes(32)), "phone", "main")
    return ann.json("device", "add", code[:-3], "--words-from", words_of(ann))


def with_a_code_mistyped(ann: Cli, _folder: Path) -> Said:
    code = encode_request(SigningKey(bytes(32)), "phone", "main")
    return ann.json("device", "add", code[:60] + ("a" if code[60] != "a" else "b") + code[61:])


WRONG: list[tuple[Callable[[Cli, Path], Said], int, str]] = [
    (with_wrong_words, 4, "word 24 is not in the list of recovery words"),
    (with_a_wrong_checksum, 4, "wrong checksum"),
    (with_too_few_words, 4, "recovery needs 24 words, these are 12"),
    (with_the_words_of_another_account, 4, "these are the words of another account"),
    (with_words_that_others_could_read, 4, "chmod 600"),
    (with_words_from_nowhere, 4, "there is no file"),
    (with_nobody_to_ask_for_the_words, 4, "--words-from FILE"),
    (with_a_wrong_passphrase, 4, "this passphrase does not open"),
    (with_an_empty_passphrase, 4, "is empty"),
    (with_nobody_to_ask_for_the_passphrase, 4, "--passphrase-file FILE"),
    (with_a_passphrase_file_that_others_could_read, 4, "chmod 600"),
    (with_a_passphrase_file_that_is_a_link, 4, "cannot be opened"),
    (with_a_code_for_another_network, 6, "this code is for the network 'elsewhere'"),
    (with_a_code_cut_short, 6, "copy it again"),
    (with_a_code_mistyped, 6, "copy it again"),
]


@pytest.mark.parametrize(("attempt", "code", "why"), WRONG, ids=lambda each: getattr(each, "__name__", None))
def test_what_is_wrong_has_an_error_of_its_own_and_changes_nothing(
    ann: Cli, tmp_path: Path, attempt: Callable[[Cli, Path], Said], code: int, why: str
) -> None:
    if "passphrase" in attempt.__name__:
        seal(ann, tmp_path)
    before = bytes_of(ann.home)

    said = attempt(ann, tmp_path)

    assert (said.code, said.out) == (code, "")
    assert why in said.err
    assert said.err.startswith("unhush: ")
    assert said.err.count("\n") == 1
    assert bytes_of(ann.home) == before
    for secret in [PASSPHRASE, "not it", "abandon", *Path(words_of(ann)).read_text().split()[:1]]:
        assert f" {secret} " not in said.err


@pytest.mark.parametrize("is_sealed", [True, False])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_key_file_that_was_tampered_with_is_refused(ann: Cli, tmp_path: Path, at: float, is_sealed: bool) -> None:
    file = seal(ann, tmp_path) if is_sealed else private(tmp_path / "passphrase.txt", PASSPHRASE)
    key = ann.home / "device.key"
    data = bytearray(key.read_bytes())
    data[int(len(data) * at)] ^= 1
    key.write_bytes(data)
    before = bytes_of(ann.home)

    said = ann.json("post", "x", "--passphrase-file", file)

    assert (said.code, said.out) == (4, "")
    assert str(key) in said.err
    assert bytes_of(ann.home) == before


def test_a_key_file_that_others_could_read_is_refused_by_whatever_signs(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    (ann.home / "device.key").chmod(0o644)
    before = bytes_of(ann.home)
    for arguments in (
        ["post", "x", "--passphrase-file", file],
        ["id", "passphrase", "--no-passphrase", "--passphrase-file", file],
        ["device", "renew", "--words-from", words_of(ann)],
    ):
        said = ann.json(*arguments)
        assert (said.code, said.out) == (4, ""), arguments
        assert "mode 0644" in said.err
        assert "chmod 600" in said.err
    assert bytes_of(ann.home) == before


def test_no_secret_that_was_given_by_file_or_input_is_ever_printed(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    words = Path(words_of(ann)).read_text().strip()
    for said in (
        ann("id", "root", "keep", "--words-from", "-", "--passphrase-file", file, given=words.encode()),
        ann("post", "x", "--passphrase-file", file),
        ann("identity", "freeze", "--passphrase-file", file),
        ann("status"),
        ann("id", "show"),
    ):
        assert said.code == 0, said
        assert PASSPHRASE not in said.out + said.err
        assert " ".join(words.split()[:3]) not in said.out + said.err


# -- the process


def test_a_sealed_node_runs_only_with_its_passphrase(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    refused = command("--home", ann.home, "--json", "run", "--web", "off", "--listen", ANY_PORT)
    assert (refused.code, refused.out) == (4, b"")
    assert "--passphrase-file FILE" in refused.err
    with serving(ann.home, "--passphrase-file", file) as running:
        assert running.ready["ready"] is True
        assert running.end().code == 0


def test_the_program_leaves_no_core_file(ann: Cli) -> None:
    looked = subprocess.run(
        [sys.executable, "-c", _LOOK, str(ann.home)], capture_output=True, check=True, text=True, timeout=60
    )
    assert looked.stdout.splitlines()[-1] == "core 0 dumpable 0"


_LOOK = """
import ctypes, resource, sys
from unhush.cli.main import run
assert run(["--home", sys.argv[1], "status"]) == 0
print("core", resource.getrlimit(resource.RLIMIT_CORE)[0], "dumpable", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_the_program_works_for_a_user_who_is_not_root(tmp_path: Path) -> None:
    """A process without core files owns less of its own /proc; nothing here may need that."""
    home = tmp_path / "nobody"
    home.mkdir(mode=0o700)
    os.chown(home, 65_534, 65_534)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    file = tmp_path / "passphrase"
    private(file, PASSPHRASE)
    os.chown(file, 65_534, 65_534)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    program = [sys.executable, "-m", "unhush.cli", "--home", str(home), "--json", "--passphrase-file", str(file)]
    for arguments in (["init", "--name", "Nobody"], ["post", "hello"], ["status"]):
        done = subprocess.run(
            [*become, *program, *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr


def test_the_sealing_of_a_home_costs_what_it_should(tmp_path: Path) -> None:
    """Every other test seals at the least cost; the program as it is installed does not."""
    file = private(tmp_path / "passphrase", PASSPHRASE)
    made = command("--home", tmp_path / "ann", "--json", "init", "--name", "Ann", "--passphrase-file", file)
    assert made.code == 0, made.err
    assert (268_435_456).to_bytes(4, "big") in (tmp_path / "ann" / "device.key").read_bytes()


def test_posting_from_a_program_that_gives_no_passphrase_stays_as_it_was(tmp_path: Path) -> None:
    found_account(Config(tmp_path / "ann"), "Ann")
    done = command("--home", tmp_path / "ann", "--json", "post", "hello")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["id", "check", "--words-from", "~nouser/x"],
        ["post", "x", "--passphrase-file", "~nouser/x"],
        ["--passphrase-file", "~nouser/x", "post", "x"],
        ["rotate", "--yes", "--unsynced", "--words-from", "~nouser/x"],
    ],
)
def test_the_home_folder_of_nobody_is_a_usage_error(ann: Cli, arguments: list[str]) -> None:
    before = bytes_of(ann.home)
    said = ann(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "~nouser/x" in said.err
    assert bytes_of(ann.home) == before


def test_a_restore_with_other_words_changes_nothing(ann: Cli, tmp_path: Path) -> None:
    before = bytes_of(ann.home)
    said = ann.json("restore", "--words-from", private(tmp_path / "stranger.txt", STRANGER.text()))
    assert (said.code, said.out) == (4, "")
    assert "not the words of the account of this home" in said.err
    assert bytes_of(ann.home) == before


def test_a_root_key_that_cannot_be_used_is_said_and_the_rest_is_shown(ann: Cli, tmp_path: Path) -> None:
    file = seal(ann, tmp_path)
    assert ann.json("id", "root", "keep", "--words-from", words_of(ann), "--passphrase-file", file).code == 0
    (ann.home / "root.key").chmod(0o644)
    for command_name in (["status"], ["id", "show"]):
        value = ann.json(*command_name).one()
        assert value["keeps_root"] is False
        assert "mode 0644" in value["root_problem"]
        assert "cannot be used: " in ann(*command_name).out
    assert ann.json("post", "x", "--passphrase-file", file).code == 0
