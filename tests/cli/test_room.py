"""``storage`` and ``gc`` on the command line."""

from tests.cli.conftest import Cli


def test_storage_says_who_takes_what_for_people_and_programs(ann: Cli) -> None:
    ann.json("post", "hello")

    value = ann.json("storage").one()
    people = ann("storage")

    assert set(value) == {
        "database", "free", "media", "fulltext", "room", "reserve", "tiers", "kept", "largest", "gc",
    }  # fmt: skip
    assert value["reserve"] == 16 * 2**20
    assert value["tiers"]["own"]["accounts"] == 1
    assert value["tiers"]["own"]["bytes"] == value["largest"][0]["bytes"] > 0
    assert value["tiers"]["stranger"]["most_each"] == 256 * 2**10
    assert value["largest"][0]["name"] == "Ann"
    assert value["gc"]["dry_run"] is True
    assert people.code == 0
    assert "Ann · you" in people.out
    assert "at most 256 KiB each, 512 MiB together" in people.out
    assert "at most 200 MiB each" in people.out  # and no limit of media, which nothing holds anybody to
    assert "gc would find nothing to do." in people.out


def test_gc_says_what_waits_and_erases_own_words_at_their_owners_word(ann: Cli) -> None:
    post = ann.json("post", "a secret that was written too soon").one()
    ann.json("delete", post["id"])

    waits = ann.json("gc").one()
    foreseen = ann.json("gc", "--dry-run", "--now").one()
    still_there = b"written too soon" in (ann.home / "store" / "data.mdb").read_bytes()
    people = ann("gc", "--now")

    assert (waits["erased"], waits["waiting"]) == (0, 1)
    assert waits["next"] > post["time"]
    assert (foreseen["dry_run"], foreseen["erased"]) == (True, 1)
    assert still_there
    assert "erased 1 deleted body" in people.out
    assert "overwrote" in people.out
    assert not [path for path in ann.home.rglob("*") if path.is_file() and b"written too soon" in path.read_bytes()]
    assert ann("gc").out == "There was nothing to do.\n"
    assert ann("verify").code == 0
