"""A lifeboat as this program makes, checks and takes it in; what the file does by itself is in ``tests/browser``."""

import gzip
import random
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from tests.support.lifeboats import (
    CHANGES,
    FLOOD,
    FLOODS,
    PIECE_FRAMES,
    Change,
    Frames,
    change_a_letter,
    change_a_picture,
    change_the_newest_signature,
    drop_one,
    frames_of,
    id_of,
    make_sample,
    picture,
    post_in,
    records,
    write_again,
)

from unhush.identity.codec import Value, decode_map, encode
from unhush.identity.entry import parse_entry
from unhush.identity.statement import MAX_STATEMENT_BYTES
from unhush.node import Config, Node, Post
from unhush.node.errors import LifeboatTooLarge, MalformedLifeboat, NotFound, UnknownFile
from unhush.node.lifeboat import checking, form, making
from unhush.node.lifeboat.checking import check_lifeboat
from unhush.node.lifeboat.form import BlockFrame, Contents, ExtraFrame, Frame, RecordFrame
from unhush.node.lifeboat.making import export_lifeboat
from unhush.node.lifeboat.reading import END_TAG, PIECE_TAG
from unhush.node.lifeboat.report import LifeboatReport
from unhush.node.lifeboat.taking import MAX_EXTRAS
from unhush.storage.kinds import Media

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def boat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lifeboat of an account with a bit of everything and two devices, one of them cut off; nobody writes to it."""
    return make_sample(tmp_path_factory.mktemp("sample"))


def problems(report: LifeboatReport) -> set[str]:
    return {problem.check for problem in report.problems}


def test_a_clean_file_holds_everything_and_says_so(boat: Path) -> None:
    report = check_lifeboat(boat)

    assert report.problems == ()
    assert report.ok
    assert report.checked == report.records == len([f for f in frames_of(boat)[1] if isinstance(f, RecordFrame)])
    assert (report.operations, report.blobs) == (3, 3)
    assert report.contents is not None
    assert str(report.contents.account) in report.sentence()
    assert len(report.words) == 8
    assert report.state is not None
    assert "phone" in report.state.names.values()
    assert report.is_shell_known
    assert report.holes == 0
    assert " ".join(report.words) in report.sentence()
    assert report.to_json()["ok"] is True


@pytest.mark.parametrize(("change", "check"), CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_in_a_file_is_named(boat: Path, tmp_path: Path, change: Change, check: str) -> None:
    report = check_lifeboat(write_again(boat, tmp_path / "changed.html", change))

    assert not report.ok
    assert check in problems(report)
    assert report.is_shell_known
    assert report.remarks()


def test_packing_a_file_again_changes_nothing(boat: Path, tmp_path: Path) -> None:
    assert check_lifeboat(write_again(boat, tmp_path / "again.html")).ok


def test_a_changed_word_is_named_by_its_record_and_nothing_else_is(boat: Path, tmp_path: Path) -> None:
    _, frames = frames_of(boat)
    at = post_in(frames, "post number 7")

    report = check_lifeboat(write_again(boat, tmp_path / "changed.html", change_a_letter))

    (problem,) = report.problems
    assert (problem.check, problem.id) == ("body", id_of(frames[at]))
    assert problem.record == at + 1
    assert report.checked == report.records - 1


def test_a_dropped_entry_is_named_by_the_id_its_successor_gives(boat: Path, tmp_path: Path) -> None:
    _, frames = frames_of(boat)
    dropped = id_of(frames[post_in(frames, "post number 7")])

    report = check_lifeboat(write_again(boat, tmp_path / "changed.html", drop_one))

    assert [problem.id for problem in report.problems if problem.check == "missing"] == [dropped]


def without_the_newest(boat: Path, target: Path, *, statements: bool) -> LifeboatReport:
    """By somebody who makes the list of contents fit."""

    def cut(frames: Frames) -> Frames:
        kept = [
            frame for at, frame in enumerate(frames) if at != max(records(frames), key=lambda at: newest(frames[at]))
        ]
        return [frame for frame in kept if statements or not isinstance(frame, ExtraFrame)]

    def newest(frame: Frame) -> tuple[bool, int]:
        header = parse_entry(frame.entry).header if isinstance(frame, RecordFrame) else None
        assert header is not None
        return header.key == longest.key, header.seq

    def lie(contents: Contents) -> Contents:
        last = longest.runs[-1][1]
        shorter = replace(longest, runs=((0, last - 1),), head=before)
        logs = tuple(shorter if log == longest else log for log in contents.logs)
        extras = contents.extras if statements else 0
        return replace(contents, logs=logs, records=contents.records - 1, bodies=contents.bodies - 1, extras=extras)

    contents, frames = frames_of(boat)
    longest = max(contents.logs, key=lambda log: log.runs[-1][1])
    before = next(id_of(frames[at]) for at in records(frames) if newest(frames[at]) == (True, longest.runs[-1][1] - 1))
    return check_lifeboat(write_again(boat, target, cut, contents=lie))


def test_what_a_device_signed_to_be_newest_is_missed(boat: Path, tmp_path: Path) -> None:
    report = without_the_newest(boat, tmp_path / "cut.html", statements=True)

    (problem,) = report.problems
    assert problem.check == "head"


def test_a_file_cut_at_its_end_by_its_maker_shows_nothing_of_it(boat: Path, tmp_path: Path) -> None:
    # What nobody can see (docs/lifeboat.md): the maker decides how much of the end, and which statements, are in it.
    assert without_the_newest(boat, tmp_path / "cut.html", statements=False).ok


def test_a_record_of_a_stranger_does_not_pass_as_one_of_the_account(
    boat: Path, tmp_path: Path, new_node: Callable[[str], Node]
) -> None:
    bob = new_node("Bob")
    bob.post("I am Ann, believe me")
    theirs = frames_of(bob.export_lifeboat(tmp_path / "bob.html").file)[1]

    def smuggle(frames: Frames) -> Frames:
        return [*frames, theirs[records(theirs)[-1]]]

    assert {"account", "count"} <= problems(check_lifeboat(write_again(boat, tmp_path / "changed.html", smuggle)))


def test_a_change_of_any_byte_of_the_data_is_found(boat: Path, tmp_path: Path) -> None:
    data = bytearray(boat.read_bytes())
    start = data.index(PIECE_TAG % 1)
    end = data.index(b"<noscript>")
    dice = random.Random(6)
    changed = tmp_path / "changed.html"
    for _ in range(30):
        at = dice.randrange(start, end)
        before = data[at]
        data[at] = dice.choice([byte for byte in b"Aa0+/=<> \x00\xff" if byte != before])
        changed.write_bytes(data)
        report = check_lifeboat(changed)
        assert not report.ok or not report.is_shell_known, at
        data[at] = before


def test_a_piece_that_is_missing_is_named_and_the_rest_is_still_checked(boat: Path, tmp_path: Path) -> None:
    split = write_again(boat, tmp_path / "split.html")
    data = split.read_bytes()
    start = data.index(PIECE_TAG % 2)
    end = data.index(PIECE_TAG % 3)
    split.write_bytes(data[:start] + data[end:])

    report = check_lifeboat(split)

    assert "piece 2 of" in "".join(report.remarks())
    assert report.checked >= report.records - PIECE_FRAMES


def test_another_program_in_the_file_is_told_with_its_hash(boat: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_bytes(boat.read_bytes().replace(b"async function main()", b"async function main ()"))

    report = check_lifeboat(other)

    assert report.ok
    assert not report.is_shell_known
    assert report.shell in "".join(report.remarks())


def test_markup_between_the_data_is_told(boat: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_bytes(
        boat.read_bytes()
        .replace(b'id="contents"', b'id="contents"')
        .replace(END_TAG, END_TAG + b"<p>trust me</p>\n", 1)
    )

    assert not check_lifeboat(other).is_shell_known


def test_what_was_taken_back_goes_without_its_words(boat: Path) -> None:
    _, frames = frames_of(boat)

    assert not any(isinstance(frame, RecordFrame) and b"to be forgotten" in (frame.body or b"") for frame in frames)
    assert any(isinstance(frame, RecordFrame) and frame.reason == "deleted" for frame in frames)


def test_pictures_go_along_as_the_person_chose(ann: Node, tmp_path: Path) -> None:
    ann.post(Post("old", media=(ann.attach(picture("navy")),)))
    account = ann.account()
    later = ann.config.clock_ms() + 100 * DAY_MS

    def blobs(media: form.Media, now_ms: int) -> int:
        made = export_lifeboat(ann._store, tmp_path / f"{media}.html", account, now_ms=now_ms, media=media, force=True)
        return len(made.contents.blobs)

    assert blobs("all", later) == 1
    assert blobs("90d", ann.config.clock_ms()) == 1
    assert blobs("90d", later) == 0
    assert blobs("none", ann.config.clock_ms()) == 0


def test_a_picture_of_many_blocks_goes_along_whole(ann: Node, tmp_path: Path) -> None:
    blob, size = ann._store.blobs.put(BytesIO(random.Random(1).randbytes(600_000)))
    ann.post(Post("noise", media=(Media(blob, "application/octet-stream", size, "noise"),)))

    made = ann.export_lifeboat(tmp_path / "ann.html", media="all")

    assert (made.contents.blobs, made.contents.blocks) == ((blob,), 4)
    assert check_lifeboat(made.file).ok


def test_a_picture_that_is_not_here_is_counted_and_nothing_fails(ann: Node, tmp_path: Path) -> None:
    ann.post(Post("gone", media=(ann.attach(picture("navy")),)))
    for file in (ann.config.home / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()

    made = ann.export_lifeboat(tmp_path / "ann.html", media="all")

    assert (made.lacking, len(made.contents.blobs)) == (1, 0)
    assert check_lifeboat(made.file).ok


def test_a_file_too_large_for_a_browser_is_not_made(ann: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.post(Post("words", media=(ann.attach(picture("navy")),)))
    monkeypatch.setattr(making, "MAX_FILE_BYTES", 10_000)

    with pytest.raises(LifeboatTooLarge, match="--media"):
        ann.export_lifeboat(tmp_path / "ann.html", media="all")

    assert list(tmp_path.glob("*.html*")) == []
    assert list(tmp_path.glob(".*new")) == []


def test_other_signed_things_are_carried_along(ann: Node, tmp_path: Path) -> None:
    extras = (ExtraFrame("card", b"signed by somebody"),)
    made = export_lifeboat(
        ann._store, tmp_path / "ann.html", ann.account(), now_ms=ann.config.clock_ms(), extras=extras
    )

    assert check_lifeboat(made.file).ok
    assert made.contents.extras == 1
    assert ann.import_lifeboat(made.file).extras == extras


# -- taking in


def test_of_very_many_other_signed_things_few_are_held(
    boat: Path, tmp_path: Path, new_config: Callable[[str], Config]
) -> None:
    """They may be a gigabyte together. Cards behind them come in all the same, and none counts as lost."""
    large = [ExtraFrame("noise", bytes(MAX_STATEMENT_BYTES + 1))] * 3
    more = [*large, *(ExtraFrame("noise", bytes([number % 256])) for number in range(MAX_EXTRAS + 5))]
    target = write_again(
        boat,
        tmp_path / "more.html",
        lambda frames: [
            *[each for each in frames if not isinstance(each, ExtraFrame)],
            *more,
            *[each for each in frames if isinstance(each, ExtraFrame)],
        ],
        contents=lambda contents: replace(contents, extras=contents.extras + len(more)),
    )
    with Node.open(new_config("bob")) as bob:
        taken = bob.import_lifeboat(target)
        assert (len(taken.extras), taken.lost_extras) == (MAX_EXTRAS, 0)
        assert taken.account is not None
        with bob._store.snapshot() as snapshot:
            assert len(snapshot.heads_told(taken.account)) == 1


def test_what_the_maker_calls_itself_does_nothing_to_a_terminal(boat: Path, tmp_path: Path) -> None:
    target = write_again(
        boat, tmp_path / "said.html", contents=lambda contents: replace(contents, maker="\x1b[2J\x07\u202eunhush")
    )
    target.write_bytes(target.read_bytes().replace(b"<title>", b"<title>My "))
    said = " ".join(check_lifeboat(target).remarks())
    assert "says it is of [2Junhush" in said
    assert not any(unicodedata.category(char) in ("Cc", "Cf") for char in said)


def test_a_home_without_account_becomes_a_carrier(
    boat: Path, tmp_path: Path, new_config: Callable[[str], Config]
) -> None:
    account = frames_of(boat)[0].account
    with Node.open(new_config("bob")) as bob:
        taken = bob.import_lifeboat(boat)

        assert taken.account == account
        assert (taken.refused, taken.lacking, taken.first_problem) == (0, 0, "")
        assert taken.stored == check_lifeboat(boat).records
        assert taken.blobs == 3
        assert bob.portrait(account) is not None
        again = bob.import_lifeboat(boat)
        assert (again.stored, again.known) == (0, taken.stored)
        assert (again.blobs, again.known_blobs, again.lost_blobs, again.lost_extras) == (0, 3, 0, 0)
        carried_on = bob.export_lifeboat(tmp_path / "again.html", account, media="all")
        assert check_lifeboat(carried_on.file).ok
        assert frames_of(carried_on.file)[1] == frames_of(boat)[1]


def test_of_a_changed_file_what_holds_is_taken_in_and_nothing_else(
    boat: Path, tmp_path: Path, new_config: Callable[[str], Config]
) -> None:
    def all_at_once(frames: Frames) -> Frames:
        for change in (change_a_letter, change_a_picture, change_the_newest_signature):
            frames = change(frames)
        return frames

    changed = write_again(boat, tmp_path / "changed.html", all_at_once)
    with Node.open(new_config("bob")) as bob:
        taken = bob.import_lifeboat(changed)

        assert 0 < taken.stored < check_lifeboat(boat).records
        assert taken.refused == 2
        assert (taken.blobs, taken.lost_blobs, taken.unshown_blobs) == (2, 1, 0)
        assert taken.first_problem
        assert bob.verify(deep=True).bad == 0


def test_a_file_of_another_network_is_refused_by_name(boat: Path, tmp_path: Path) -> None:
    with Node.open(Config(tmp_path / "main", network="main")) as node, pytest.raises(MalformedLifeboat, match="'test'"):
        node.import_lifeboat(boat)


# -- hostile files


def test_what_is_no_lifeboat_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "file.html"
    with pytest.raises(NotFound):
        Node.verify_file(file)
    file.write_bytes(b"<!doctype html><p>hello")
    with pytest.raises(UnknownFile):
        Node.verify_file(file)
    file.write_bytes(b"")
    with pytest.raises(UnknownFile):
        Node.verify_file(file)
    with pytest.raises(MalformedLifeboat):
        check_lifeboat(file)


def test_few_bytes_do_not_become_many(boat: Path, tmp_path: Path) -> None:
    data = boat.read_bytes()
    start, end = data.index(PIECE_TAG % 1) + len(PIECE_TAG % 1), data.index(END_TAG, data.index(PIECE_TAG % 1))
    bomb = b64encode(gzip.compress(bytes(20_000_000), 9, mtime=0))
    file = tmp_path / "bomb.html"
    file.write_bytes(data[:start] + bomb + data[end:])

    assert "piece" in problems(check_lifeboat(file))
    assert len(form.unpack(bomb)[0]) <= form.MAX_PIECE_BYTES


def test_words_that_are_all_alike_are_still_a_piece_that_can_be_read() -> None:
    for frames in (b"", b"a", bytes(form.MAX_PIECE_BYTES), random.Random(1).randbytes(5_000), b"ab" * 40):
        text = form.pack(frames)

        assert form.unpack(text) == (frames, True)


def test_a_piece_grows_only_so_far() -> None:
    for size in (100, 50_000, form.MAX_PIECE_BYTES + 1):
        packed = gzip.compress(bytes(size), 9, mtime=0)
        limit = min(form.MAX_PIECE_BYTES, form.MAX_GROWTH * len(packed))

        assert form.unpack(b64encode(packed)) == (bytes(min(size, limit)), size <= limit)


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("beside", {"signature", "count"}),
        ("too large", {"frame"}),
        ("grown", {"piece", "count"}),
        ("torn runs", {"missing", "count"}),
    ],
)
def test_a_file_made_to_cost_is_judged_like_any_other(boat: Path, tmp_path: Path, name: str, checks: set[str]) -> None:
    report = check_lifeboat(FLOODS[name](boat, tmp_path / "flood.html"))

    # Only the first are told in words; of the flood beside those are all of one kind.
    assert problems(report) <= checks | {"standing", "head"}
    assert problems(report) & checks
    assert report.checked >= check_lifeboat(boat).records // 2


def test_entries_beside_that_nobody_signed_are_each_looked_at_once(
    boat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FLOODS["beside"](boat, tmp_path / "flood.html")
    asked: list[int] = []

    def count(*_: object) -> bool:
        asked.append(1)
        return False

    monkeypatch.setattr(checking, "_vouches", count)

    assert check_lifeboat(file).problem_count >= FLOOD
    assert len(asked) < 100


def test_what_lacks_of_runs_is_what_lacks_of_their_numbers() -> None:
    dice = random.Random(9)
    for _ in range(300):
        one, other = ({at for at in range(24) if dice.random() < 0.6} for _ in range(2))
        lacking = checking._lacking(checking._runs(sorted(one)), checking._runs(sorted(other)))

        assert [seq for low, high in lacking for seq in range(low, high + 1)] == sorted(one - other)


def test_twenty_thousand_runs_are_held_against_as_many() -> None:
    runs, others = ([(at, at) for at in range(start, 40_000, 2)] for start in (0, 1))

    assert list(checking._lacking(runs, others)) == runs  # by pairs this would be 400 million


def test_pieces_that_begin_inside_others_are_none(boat: Path, tmp_path: Path) -> None:
    data = boat.read_bytes()
    at = data.index(PIECE_TAG % 1)
    nested = b"".join(PIECE_TAG % number for number in range(2, 400))
    file = tmp_path / "nested.html"
    file.write_bytes(data[:at] + nested + data[at:])

    report = check_lifeboat(file)

    assert problems(report) >= {"piece"}
    assert "piece 1 of" in "".join(report.remarks())


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"version": 2},
        {"version": 1, "network": "x" * 33},
    ],
)
def test_a_list_of_contents_that_is_none_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(MalformedLifeboat):
        form.parse_contents(encode(value))  # type: ignore[arg-type]  # as a stranger may write it


@pytest.mark.parametrize(
    "wrong",
    [{"network": "no network"}, {"records": -1}, {"made": True}, {"media": "some"}, {"maker": "x" * 65}, {"more": 1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_list_of_contents_with_one_wrong_field_is_refused(boat: Path, wrong: dict[str, Value]) -> None:
    fields = decode_map(frames_of(boat)[0].encode(), max_bytes=form.MAX_CONTENTS_BYTES, max_items=65_536)

    with pytest.raises(MalformedLifeboat):
        form.parse_contents(encode(fields | wrong))


def test_a_list_of_contents_is_read_as_it_was_written(boat: Path) -> None:
    contents, _ = frames_of(boat)

    assert form.parse_contents(contents.encode()) == contents


def test_runs_that_overlap_are_refused(boat: Path) -> None:
    contents, _ = frames_of(boat)
    log = contents.logs[0]
    for runs in (((0, 5), (5, 9)), ((0, 5), (6, 9)), ((4, 3),), ()):
        with pytest.raises(MalformedLifeboat):
            form.parse_contents(replace(contents, logs=(replace(log, runs=runs),)).encode())


def test_every_block_is_named_by_its_hash_alone(boat: Path) -> None:
    _, frames = frames_of(boat)
    digests = [sha256(frame.block).digest() for frame in frames if isinstance(frame, BlockFrame)]

    assert len(digests) == len(set(digests)) == frames_of(boat)[0].blocks
