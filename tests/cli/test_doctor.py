"""``doctor`` from the command line: lines for people, objects for programs, and an exit code that means something."""

from pathlib import Path

from tests.support.commands import command, serving


def test_without_a_running_node_it_asks_for_one_and_ends_with_7(home: Path) -> None:
    said = command("--home", home, "doctor")
    assert said.code == 7
    assert b"act   node" in said.out
    assert "→ unhush run".encode() in said.out
    found = {line["topic"]: line for line in command("--home", home, "doctor", "--json").lines()}
    assert found["node"]["grade"] == "attention"
    assert found["node"]["advice"] == "unhush run"
    assert found["files"] == {
        "topic": "files",
        "grade": "fine",
        "text": f"The home {home} and its keys are yours alone.",
        "advice": None,
    }


def test_a_running_relay_says_what_it_does(home: Path) -> None:
    with serving(home, "--relay", "--no-lan"):
        found = {line["topic"]: line for line in command("--home", home, "--json", "doctor").lines()}
    assert "0 places kept, 0 circuits" in found["relay"]["text"]
    assert found["node"]["grade"] == "fine"
    assert "only programs on this machine" in found["listening"]["text"]


def test_where_there_is_no_home_it_says_so(tmp_path: Path) -> None:
    said = command("--home", tmp_path / "nobody", "doctor")
    assert said.code == 3
