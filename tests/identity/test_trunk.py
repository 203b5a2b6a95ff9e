"""The trunk rule: one state from a set of operations, whatever the order and whoever else signs."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from unhush.identity.building import build_inception
from unhush.identity.cid import Cid, cid_of, parse_cid
from unhush.identity.codec import Value, encode
from unhush.identity.entry import Entry, Header, parse_entry, sign_entry, verify_signature
from unhush.identity.keys import PublicKey, SigningKey
from unhush.identity.operations import (
    ADD,
    FREEZE,
    MAX_ROWS,
    NOTHING,
    OPEN,
    REVOKE,
    ROTATE,
    Cut,
    Device,
    Op,
    Table,
    parse_operation,
)
from unhush.identity.trunk import (
    ADDED,
    MAX_STORED,
    Alarm,
    Standing,
    State,
    find_generation,
    find_trunk,
    fold,
    judge,
    limit,
)
from unhush.identity.words import Words

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trunk.json").read_text(encoding="ascii"))


# --- the scenarios of trunk.json ------------------------------------------------------


def key_of(text: str) -> PublicKey:
    return PublicKey(bytes.fromhex(text))


def cut_of(written: Any) -> Cut:
    match written:
        case "open":
            return OPEN
        case "nothing":
            return NOTHING
        case {"seq": seq, "entry": entry}:
            return seq, parse_cid(entry).bytes
    raise AssertionError(f"unknown cut {written}")


def operation_of(cid: str) -> Table | Op:
    match VECTORS["operations"][cid]:
        case {"table": True} as table:
            return Table(
                parse_cid(cid),
                key_of(table["key"]),
                key_of(table["root"]),
                bytes.fromhex(table["next"]),
                tuple(map(key_of, table["path"])),
                tuple(Device(key_of(key), "", cut_of(cut)) for key, cut in table["devices"]),
                table["closed"],
            )
        case op:
            kind = {"add": ADD, "revoke": REVOKE, "freeze": FREEZE}[op["kind"]]
            device = key_of(op["device"]) if "device" in op else None
            cut = cut_of(op.get("cut", "nothing"))
            return Op(parse_cid(cid), key_of(op["key"]), parse_cid(op["prev"]), kind, device, "", cut)


def entry_of(cid: str, account: Cid) -> Entry:
    """An authentic entry that stands for the block with this CID."""
    fields = VECTORS["entries"][cid]
    prev = parse_cid(fields["prev"]) if fields["prev"] else None
    header = Header(account, key_of(fields["key"]), fields["seq"], prev, 0, "post", cid_of(b"\xa0"), 1)
    return Entry(header, account, parse_cid(cid), b"")


def state_of(account: Cid, operations: Iterable[Table | Op]) -> State:
    trunk = find_trunk(account, operations)
    assert trunk is not None
    return fold(trunk)


scenarios = pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])


@scenarios
def test_the_fold_gives_the_state_of_the_vector(scenario: dict[str, Any]) -> None:
    expected = scenario["state"]

    state = state_of(parse_cid(scenario["account"]), map(operation_of, scenario["operations"]))

    assert state.generation == expected["generation"]
    assert dict(state.cuts) == {key_of(device): cut_of(cut) for device, cut in expected["cuts"].items()}
    assert state.closed is expected["closed"]
    assert {alarm.value for alarm in state.alarms} == set(expected["alarms"])


@scenarios
def test_each_entry_stands_as_the_vector_says(scenario: dict[str, Any]) -> None:
    account = parse_cid(scenario["account"])
    state = state_of(account, map(operation_of, scenario["operations"]))
    entries = [entry_of(cid, account) for cid in scenario["entries"]]

    standing: dict[str, str] = {}
    for device in {entry.header.key for entry in entries}:
        held = {entry.cid: entry for entry in entries if entry.header.key == device}
        cut = state.cut_of(device)
        verdicts = judge(NOTHING if cut is None else cut, held)
        standing |= {str(cid): verdict.value for cid, verdict in verdicts.items()}

    assert standing == scenario["standing"]


@scenarios
def test_order_and_repetition_change_nothing(scenario: dict[str, Any]) -> None:
    rng, account = random.Random(scenario["name"]), parse_cid(scenario["account"])
    operations = [operation_of(cid) for cid in scenario["operations"]]
    expected = find_trunk(account, operations)

    for _ in range(20):
        shuffled = operations + rng.choices(operations, k=5)
        rng.shuffle(shuffled)
        assert find_trunk(account, shuffled) == expected


@scenarios
def test_what_a_node_stores_says_all_and_is_bounded(scenario: dict[str, Any]) -> None:
    account = parse_cid(scenario["account"])
    operations = [operation_of(cid) for cid in scenario["operations"]]
    trunk = find_trunk(account, operations)
    assert trunk is not None

    stored = [operation for operation in operations if operation.id in trunk.ids()]

    assert find_trunk(account, stored) == trunk
    assert len(stored) == len(trunk.ids()) <= MAX_STORED


# --- the same rule on real keys, signatures and CIDs ----------------------------------

WORDS = Words(bytes(range(32)))
NETWORK = "main"
LAPTOP, PHONE, TABLET, THIEF = (SigningKey(bytes((number,)) * 32) for number in range(1, 5))
BORN = build_inception(WORDS, device=LAPTOP.public, name="laptop", time_ms=1, salt=bytes(16), network=NETWORK)
ACCOUNT = BORN.entry.account


def operate(kind: str, key: SigningKey, prev: Cid, fields: dict[str, Value], salt: int = 0) -> Table | Op:
    """Signed, sent, verified and parsed, as a stranger's node would."""
    body = encode(fields | {"salt": bytes(15) + bytes((salt,))})
    header = Header(ACCOUNT, key.public, 1, prev, 1, kind, cid_of(body), len(body))
    block = sign_entry(key, header, NETWORK).block
    return parse_operation(verify_signature(parse_entry(block), NETWORK), body)


def add(device: SigningKey, *, on: Table, root: SigningKey, name: str = "new", salt: int = 0) -> Op:
    made = operate(ADD, root, on.id, {"device": {"key": device.public.bytes, "name": name}}, salt)
    assert isinstance(made, Op)
    return made


def revoke(device: SigningKey, *, on: Table, root: SigningKey, last: Entry | None = None) -> Op:
    cut = None if last is None else {"seq": last.header.seq, "entry": last.cid}
    made = operate(REVOKE, root, on.id, {"device": device.public.bytes, "cut": cut})
    assert isinstance(made, Op)
    return made


def freeze(*, on: Table, root: SigningKey) -> Op:
    made = operate(FREEZE, root, on.id, {})
    assert isinstance(made, Op)
    return made


def rotate(
    generation: int,
    *devices: SigningKey,
    words: Words = WORDS,
    key: SigningKey | None = None,
    path: list[PublicKey] | None = None,
    salt: int = 0,
    **more: Value,
) -> Table:
    turns = [words.turn(step).public for step in range(1, generation + 1)] if path is None else path
    rows: list[Value] = [{"key": device.public.bytes, "name": "row"} for device in devices]
    fields: dict[str, Value] = {
        "root": words.root(generation).public.bytes,
        "next": words.commitment(generation),
        "path": [turn.bytes for turn in turns],
        "devices": rows,
    }
    made = operate(ROTATE, key or words.turn(generation), ACCOUNT, fields | more, salt)
    assert isinstance(made, Table)
    return made


def incept() -> Table:
    table = parse_operation(BORN.entry, BORN.body)
    assert isinstance(table, Table)
    return table


INCEPT, ROOT = incept(), WORDS.root(0)


def write_log(key: SigningKey, length: int, after: Entry | None = None, salt: int = 0) -> list[Entry]:
    log = [] if after is None else [after]
    for _ in range(length):
        seq, prev = (log[-1].header.seq + 1, log[-1].cid) if log else (0, None)
        header = Header(ACCOUNT, key.public, seq, prev, 1, "post", cid_of(bytes((salt,))), 1)
        log.append(sign_entry(key, header, NETWORK))
    return log if after is None else log[1:]


def opened(*operations: Table | Op) -> set[PublicKey]:
    """The devices whose log has no end."""
    return {device for device, cut in state_of(ACCOUNT, operations).cuts.items() if cut == OPEN}


def publics(*keys: SigningKey) -> set[PublicKey]:
    return {key.public for key in keys}


def standings(cut: Cut, entries: Iterable[Entry]) -> dict[int, Standing]:
    """Verdicts by seq, for logs without a fork."""
    held = {entry.cid: entry for entry in entries}
    return {held[cid].header.seq: standing for cid, standing in judge(cut, held).items()}


def test_without_the_inception_there_is_no_account() -> None:
    assert find_trunk(ACCOUNT, []) is None
    assert find_trunk(ACCOUNT, [rotate(1, PHONE), add(PHONE, on=INCEPT, root=ROOT)]) is None
    assert find_trunk(cid_of(b"\xa0"), [INCEPT]) is None


def test_a_rotate_is_no_inception_of_its_own() -> None:
    table = rotate(1, PHONE)
    assert find_trunk(table.id, [INCEPT, table]) is None


def test_an_inception_opens_its_devices_under_their_names() -> None:
    state = state_of(ACCOUNT, [INCEPT])
    assert (state.generation, state.table, state.root) == (0, ACCOUNT, ROOT.public)
    assert dict(state.names) == {LAPTOP.public: "laptop"}
    assert state.cut_of(LAPTOP.public) == OPEN
    assert state.cut_of(PHONE.public) is None


def test_only_the_root_of_the_table_adds() -> None:
    honest = add(PHONE, on=INCEPT, root=ROOT)
    by_device = add(THIEF, on=INCEPT, root=LAPTOP)
    by_turn_key = add(TABLET, on=INCEPT, root=WORDS.turn(1))
    assert opened(INCEPT, honest, by_device, by_turn_key) == publics(LAPTOP, PHONE)


def test_the_add_with_the_lowest_cid_names_the_device() -> None:
    adds = [add(PHONE, on=INCEPT, root=ROOT, name=f"name {salt}", salt=salt) for salt in range(5)]
    lowest = min(adds, key=lambda op: op.id)
    assert state_of(ACCOUNT, [INCEPT, *adds]).names[PHONE.public] == lowest.name


def test_a_revoke_with_cut_keeps_what_came_before() -> None:
    log = write_log(LAPTOP, 6)
    state = state_of(ACCOUNT, [INCEPT, revoke(LAPTOP, on=INCEPT, root=ROOT, last=log[2])])

    verdicts = standings(state.cuts[LAPTOP.public], log)

    assert verdicts == {seq: Standing.IN_FORCE if seq < 3 else Standing.VOID for seq in range(6)}


def test_the_lowest_cut_wins_and_null_is_the_lowest() -> None:
    log = write_log(LAPTOP, 6)
    revokes = [revoke(LAPTOP, on=INCEPT, root=ROOT, last=log[seq]) for seq in (4, 1, 3)]
    assert state_of(ACCOUNT, [INCEPT, *revokes]).cuts[LAPTOP.public] == (1, log[1].cid.bytes)
    revokes.append(revoke(LAPTOP, on=INCEPT, root=ROOT))
    assert state_of(ACCOUNT, [INCEPT, *revokes]).cuts[LAPTOP.public] == NOTHING


def test_of_two_cuts_at_one_seq_the_lower_entry_bytes_win() -> None:
    start = write_log(LAPTOP, 1)
    twins = [write_log(LAPTOP, 1, after=start[0], salt=salt)[0] for salt in range(4)]
    revokes = [revoke(LAPTOP, on=INCEPT, root=ROOT, last=twin) for twin in twins]
    assert state_of(ACCOUNT, [INCEPT, *revokes]).cuts[LAPTOP.public] == (1, min(twin.cid.bytes for twin in twins))


def test_an_add_never_reopens() -> None:
    operations = [revoke(PHONE, on=INCEPT, root=ROOT), *(add(PHONE, on=INCEPT, root=ROOT, salt=n) for n in range(9))]
    assert opened(INCEPT, *operations) == publics(LAPTOP)


def test_a_frozen_table_adds_nothing_and_still_revokes() -> None:
    log = write_log(LAPTOP, 2)
    operations = [
        INCEPT,
        add(PHONE, on=INCEPT, root=ROOT),
        freeze(on=INCEPT, root=ROOT),
        revoke(LAPTOP, on=INCEPT, root=ROOT, last=log[0]),
    ]
    state = state_of(ACCOUNT, operations)
    assert dict(state.cuts) == {LAPTOP.public: (0, log[0].cid.bytes)}
    assert state.alarms == {Alarm.FROZEN}
    assert PHONE.public not in state.names


def test_a_freeze_by_a_device_is_none() -> None:
    assert state_of(ACCOUNT, [INCEPT, freeze(on=INCEPT, root=LAPTOP)]).alarms == frozenset()


def test_64_unlisted_devices_are_allowed_and_65_are_a_flood() -> None:
    devices = [SigningKey(bytes((9, number)) * 16) for number in range(ADDED + 1)]
    adds = [add(device, on=INCEPT, root=ROOT) for device in devices]

    full, flooded = state_of(ACCOUNT, [INCEPT, *adds[:-1]]), state_of(ACCOUNT, [INCEPT, *adds])

    assert set(full.cuts) == publics(LAPTOP, *devices[:-1])
    assert full.alarms == frozenset()
    assert set(flooded.cuts) == publics(LAPTOP)
    assert flooded.alarms == {Alarm.FLOODED}


def test_revokes_of_unlisted_devices_flood_as_well() -> None:
    devices = [SigningKey(bytes((9, number)) * 16) for number in range(ADDED + 1)]
    half = [add(device, on=INCEPT, root=ROOT) for device in devices[:33]]
    other = [revoke(device, on=INCEPT, root=ROOT) for device in devices[33:]]
    assert state_of(ACCOUNT, [INCEPT, *half, *other]).alarms == {Alarm.FLOODED}


def test_a_full_table_leaves_no_room_for_adds() -> None:
    rows = tuple(Device(SigningKey(number.to_bytes(32, "big")).public, "") for number in range(1, MAX_ROWS + 1))
    full = Table(ACCOUNT, INCEPT.key, INCEPT.root, INCEPT.next, (), rows)
    assert limit(full) == 0
    assert state_of(ACCOUNT, [full, add(PHONE, on=INCEPT, root=ROOT)]).alarms == {Alarm.FLOODED}


def test_a_flood_of_1_000_valid_operations_leaves_at_most_390_to_store() -> None:
    keys = [PublicKey(number.to_bytes(32, "big")) for number in range(1_000)]
    rows = tuple(Device(key, "") for key in keys[:192])
    table = Table(ACCOUNT, INCEPT.key, INCEPT.root, INCEPT.next, (), rows)
    flood: list[Op] = [Op(cid_of(b"f"), ROOT.public, ACCOUNT, FREEZE), Op(cid_of(b"g"), ROOT.public, ACCOUNT, FREEZE)]
    for key in keys:
        flood.append(Op(cid_of(b"a" + key.bytes), ROOT.public, ACCOUNT, ADD, key))
        flood.append(Op(cid_of(b"r" + key.bytes), ROOT.public, ACCOUNT, REVOKE, key))
        flood.append(Op(cid_of(b"s" + key.bytes), ROOT.public, ACCOUNT, REVOKE, key, cut=(3, cid_of(b"").bytes)))

    trunk = find_trunk(ACCOUNT, [table, *flood])

    assert trunk is not None
    assert len(trunk.ids()) == 1 + 1 + 192 + 2 * (ADDED + 1) <= MAX_STORED
    assert MAX_STORED == 390
    assert find_trunk(ACCOUNT, [op for op in (table, *flood) if op.id in trunk.ids()]) == trunk
    assert all(cut == NOTHING for cut in fold(trunk).cuts.values())


def test_a_rotate_replaces_the_whole_table() -> None:
    operations = [add(PHONE, on=INCEPT, root=ROOT), revoke(LAPTOP, on=INCEPT, root=ROOT)]
    table = rotate(1, LAPTOP, TABLET)
    state = state_of(ACCOUNT, [INCEPT, *operations, table])
    assert (state.generation, state.table, state.root) == (1, table.id, WORDS.root(1).public)
    assert dict(state.cuts) == {LAPTOP.public: OPEN, TABLET.public: OPEN}


def test_whoever_holds_the_old_root_has_no_say_on_the_new_table() -> None:
    table = rotate(1, LAPTOP)
    old = [
        add(THIEF, on=table, root=ROOT),
        add(THIEF, on=INCEPT, root=ROOT),
        add(THIEF, on=INCEPT, root=WORDS.root(1)),
        revoke(LAPTOP, on=table, root=ROOT),
        freeze(on=table, root=ROOT),
    ]
    assert state_of(ACCOUNT, [INCEPT, table, *old]) == state_of(ACCOUNT, [INCEPT, table])


def test_a_lower_generation_never_counts_again() -> None:
    third = rotate(3, LAPTOP)
    late = [rotate(1, THIEF), rotate(2, THIEF), add(THIEF, on=INCEPT, root=ROOT)]
    assert state_of(ACCOUNT, [INCEPT, *late, third]) == state_of(ACCOUNT, [INCEPT, third])


def test_generations_may_be_skipped_up_to_256() -> None:
    table = rotate(256, LAPTOP)
    assert find_generation(INCEPT, table) == 256
    assert state_of(ACCOUNT, [INCEPT, table]).generation == 256


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(lambda: rotate(1, THIEF, key=ROOT), id="signed by the root"),
        pytest.param(lambda: rotate(1, THIEF, key=LAPTOP), id="signed by a device"),
        pytest.param(lambda: rotate(1, THIEF, key=THIEF, path=[THIEF.public]), id="with a path of its own"),
        pytest.param(lambda: rotate(2, THIEF, key=WORDS.turn(1)), id="signed by a lower turn key"),
        pytest.param(lambda: rotate(1, THIEF, key=WORDS.turn(2)), id="signed by a higher turn key"),
        pytest.param(lambda: rotate(2, THIEF, path=[WORDS.turn(2).public]), id="that leaves out a step"),
        pytest.param(lambda: rotate(1, THIEF, next=bytes(32)), id="with another future"),
        pytest.param(lambda: rotate(1, THIEF, next=WORDS.commitment(0)), id="with the past for a future"),
        pytest.param(lambda: rotate(1, THIEF, words=Words(bytes(32))), id="of other words"),
        pytest.param(
            lambda: rotate(2, THIEF, key=THIEF, path=[WORDS.turn(1).public, THIEF.public], next=WORDS.commitment(2)),
            id="that begins with a turn key seen",
        ),
        pytest.param(
            lambda: rotate(2, THIEF, path=[WORDS.turn(2).public, WORDS.turn(1).public], key=WORDS.turn(1)),
            id="backwards",
        ),
    ],
)
def test_a_rotate_off_the_chain_of_the_inception_changes_nothing(table: Any) -> None:
    forged = table()
    assert find_generation(INCEPT, forged) == -1
    assert find_trunk(ACCOUNT, [INCEPT, forged]) == find_trunk(ACCOUNT, [INCEPT])


def test_of_two_rotates_to_one_generation_the_lower_cid_stands_and_the_owner_is_warned() -> None:
    one, two = sorted((rotate(1, PHONE), rotate(1, TABLET)), key=lambda table: table.id)
    on_loser = add(THIEF, on=two, root=WORDS.root(1))

    state = state_of(ACCOUNT, [INCEPT, two, one, on_loser])

    assert state.table == one.id
    assert set(state.cuts) == {row.key for row in one.devices}
    assert state.alarms == {Alarm.TWICE}


def test_of_many_rotates_to_one_generation_two_are_stored() -> None:
    tables = [rotate(1, PHONE, salt=salt) for salt in range(6)]
    trunk = find_trunk(ACCOUNT, [INCEPT, *tables])
    assert trunk is not None
    assert trunk.ids() == {ACCOUNT, *sorted(table.id for table in tables)[:2]}


def test_the_next_rotate_ends_every_alarm() -> None:
    devices = [SigningKey(bytes((9, number)) * 16) for number in range(ADDED + 1)]
    flood = [add(device, on=INCEPT, root=ROOT) for device in devices]
    before = [INCEPT, *flood, freeze(on=INCEPT, root=ROOT)]
    assert state_of(ACCOUNT, before).alarms == {Alarm.FROZEN, Alarm.FLOODED}
    assert state_of(ACCOUNT, [*before, rotate(1, LAPTOP)]).alarms == frozenset()


def test_a_closed_account_adds_nothing_until_the_words_reopen_it() -> None:
    closing = rotate(1, LAPTOP, closed=True)
    late = add(PHONE, on=closing, root=WORDS.root(1))
    assert state_of(ACCOUNT, [INCEPT, closing, late]).closed
    assert opened(INCEPT, closing, late) == publics(LAPTOP)
    assert opened(INCEPT, closing, late, rotate(2, LAPTOP, PHONE)) == publics(LAPTOP, PHONE)


def test_every_order_of_a_stormy_life_gives_one_state() -> None:
    log = write_log(LAPTOP, 3)
    table, rival = rotate(1, LAPTOP), rotate(1, PHONE)
    life: list[Table | Op] = [INCEPT, table, rival, rotate(1, THIEF, key=ROOT), freeze(on=INCEPT, root=ROOT)]
    for on, root in ((INCEPT, ROOT), (table, WORDS.root(1)), (rival, WORDS.root(1))):
        life += [add(device, on=on, root=root) for device in (PHONE, TABLET, THIEF)]
        life += [revoke(LAPTOP, on=on, root=root, last=entry) for entry in log]
    expected, rng = find_trunk(ACCOUNT, life), random.Random(7)

    for _ in range(200):
        rng.shuffle(life)
        assert find_trunk(ACCOUNT, life) == expected


# --- the standing of entries ----------------------------------------------------------


def test_below_a_hole_under_a_cut_nothing_is_proven_until_it_is_filled() -> None:
    log = write_log(LAPTOP, 6)
    cut = (4, log[4].cid.bytes)

    holed, filled = standings(cut, [*log[:2], *log[3:]]), standings(cut, log)

    assert {seq for seq, standing in holed.items() if standing is Standing.UNPROVEN} == {0, 1}
    assert {seq for seq, standing in holed.items() if standing is Standing.IN_FORCE} == {3, 4}
    assert [filled[seq] for seq in range(6)] == [Standing.IN_FORCE] * 5 + [Standing.VOID]


def test_an_open_log_is_contested_from_its_lowest_fork_on() -> None:
    log = write_log(LAPTOP, 6)
    high, low = write_log(LAPTOP, 1, after=log[3], salt=1), write_log(LAPTOP, 2, after=log[1], salt=1)

    verdicts = judge(OPEN, {entry.cid: entry for entry in (*high, *log, *low)})

    for entry in (*log, *low, *high):
        expected = Standing.IN_FORCE if entry.header.seq < 2 else Standing.CONTESTED
        assert verdicts[entry.cid] is expected


def test_a_cut_decides_a_fork() -> None:
    log = write_log(LAPTOP, 5)
    branch = write_log(LAPTOP, 3, after=log[1], salt=1)

    verdicts = judge((3, branch[1].cid.bytes), {entry.cid: entry for entry in (*log, *branch)})

    in_force = {cid for cid, standing in verdicts.items() if standing is Standing.IN_FORCE}
    assert in_force == {entry.cid for entry in (*log[:2], *branch[:2])}
    assert {verdicts[entry.cid] for entry in (*log[2:], branch[2])} == {Standing.VOID}


def test_a_cut_that_names_an_entry_at_another_seq_proves_nothing() -> None:
    log = write_log(LAPTOP, 5)
    assert standings((3, log[2].cid.bytes), log) == dict.fromkeys(range(4), Standing.UNPROVEN) | {4: Standing.VOID}


def test_a_cut_at_nothing_voids_all() -> None:
    assert set(standings(NOTHING, write_log(LAPTOP, 3)).values()) == {Standing.VOID}


def test_a_log_of_2_000_entries_under_a_cut_is_judged_without_recursion() -> None:
    log = write_log(LAPTOP, 2_000)
    verdicts = standings((1_998, log[1_998].cid.bytes), log)
    assert [seq for seq, standing in verdicts.items() if standing is not Standing.IN_FORCE] == [1_999]


def test_no_entries_no_verdicts() -> None:
    assert judge(OPEN, {}) == judge(NOTHING, {}) == judge((3, ACCOUNT.bytes), {}) == {}
