"""Every small lie in ``identity/trunk.py`` is noticed by the vectors and the histories.

The module is parsed, changed at one place at a time (a comparison turned or
moved by one, ``and`` for ``or``, ``min`` for ``max``, a number one up or down, a
``not`` left out, an order reversed), built in memory, and given to the battery
below. The battery never compares with the module itself: it knows the vectors,
the second opinion of ``rulebook.py`` and what healing means. A mutant that
survives is a gap in the tests, or is listed in ``EQUIVALENT`` with the reason
why nobody could notice it.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Final

import pytest
from tests.identity import test_trunk
from tests.identity.battery import check_history
from tests.support.histories import History, live

from unhush.identity import trunk
from unhush.identity.cid import cid_of, parse_cid
from unhush.identity.keys import PublicKey
from unhush.identity.operations import ADD, MAX_ROWS, NOTHING, REVOKE, Device, Op, Table
from unhush.identity.words import GENERATIONS, commit

SOURCE: Final = Path(trunk.__file__).read_text(encoding="utf-8")
HISTORIES: Final = 300

# Mutants nobody can tell from the rule, each with the reason.
EQUIVALENT: Final = {
    "find_trunk: op.kind == ADD and op.device is not None and (op.device in named) -> without op.device is not None": (
        "every add names a device; the clause is for the type checker"
    ),
    "find_trunk: op.device is not None and op.device in counting -> without op.device is not None": (
        "every revoke names a device; the clause is for the type checker"
    ),
}

_OTHER: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}


@dataclass(frozen=True)
class Mutant:
    """The module with one change; the name says where (by text, not by line, so that it stays) and what."""

    name: str
    place: int
    change: Callable[[Any], object]

    def tree(self) -> ast.Module:
        """Made when it is wanted: every process that collects tests makes the list."""
        made = ast.parse(SOURCE)
        found = next(islice(nodes(made), self.place, None))
        self.change(found[1])
        return ast.fix_missing_locations(made)


def iter_mutants() -> Iterator[Mutant]:
    original = ast.parse(SOURCE)
    parents = {child: parent for parent in ast.walk(original) for child in ast.iter_child_nodes(parent)}
    names: dict[str, int] = {}
    for place, (function, node) in enumerate(nodes(original)):
        for what, change in changes(node):
            name = f"{function}: {text_of(node, parents)} -> {what}"
            names[name] = names.get(name, 0) + 1
            yield Mutant(name if names[name] == 1 else f"{name} #{names[name]}", place, change)


def text_of(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> str:
    """The node as it is written; a number with what stands around it."""
    if not isinstance(node, ast.Constant):
        return ast.unparse(node)
    around = parents[node]
    while isinstance(around, ast.UnaryOp | ast.Slice | ast.Tuple):
        around = parents[around]
    return f"{node.value} in {ast.unparse(around)}"


def nodes(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the module, with the function or class it is in; in the same order each time it is parsed."""
    for statement in tree.body:
        for node in ast.walk(statement):
            yield getattr(statement, "name", "module"), node


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """What can be done to a node: a description of it, and the doing."""
    match node:
        case ast.Compare(ops=operators):
            for at, operator in enumerate(operators):
                for other in _OTHER[type(operator)]:
                    yield f"{other.__name__} at {at}", _turn(at, other)
        case ast.BoolOp(op=operator):
            other_bool = ast.Or if isinstance(operator, ast.And) else ast.And
            yield other_bool.__name__, lambda found: setattr(found, "op", other_bool())
            for at, operand in enumerate(node.values):
                yield f"without {ast.unparse(operand)}", _drop(at)
        case ast.comprehension(ifs=[_]):
            yield "without if", lambda found: found.ifs.clear()
        case ast.Subscript(slice=ast.Slice()):
            yield "whole", lambda found: setattr(found, "slice", ast.Slice())
        case ast.IfExp():
            yield "else first", lambda found: setattr(found, "test", ast.UnaryOp(ast.Not(), found.test))
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            yield str(number + 1), lambda found: setattr(found, "value", number + 1)
            yield str(number - 1), lambda found: setattr(found, "value", number - 1)
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other_name = "max" if name == "min" else "min"
            yield other_name, lambda found: setattr(found.func, "id", other_name)
        case ast.Call(func=ast.Name(id="reversed" | "sorted")):
            yield "unordered", lambda found: (setattr(found.func, "id", "list"), found.keywords.clear())
        case ast.UnaryOp(op=ast.Not()):
            # `not not x` is the same truth without the first negation.
            yield "without not", lambda found: setattr(found, "operand", ast.UnaryOp(ast.Not(), found.operand))
        case ast.BinOp(op=ast.Sub() | ast.Add() | ast.BitOr() | ast.BitAnd() as operator):
            turned = {ast.Sub: ast.Add, ast.Add: ast.Sub, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr}
            other_op = turned[type(operator)]
            yield other_op.__name__, lambda found: setattr(found, "op", other_op())


def _turn(at: int, other: type[ast.cmpop]) -> Callable[[Any], None]:
    def change(found: ast.Compare) -> None:
        found.ops[at] = other()

    return change


def _drop(operand: int) -> Callable[[Any], None]:
    def change(found: ast.BoolOp) -> None:
        del found.values[operand]
        if len(found.values) == 1:  # code of one operand is no BoolOp to the compiler
            found.values = [ast.Constant(isinstance(found.op, ast.And)), *found.values]

    return change


def build(mutant: Mutant) -> ModuleType:
    """The mutant as a module, or whatever exception it raises on import."""
    module = ModuleType("mutated_trunk")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(mutant.tree(), "mutated_trunk.py", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


# --- the battery ----------------------------------------------------------------------


@cache
def histories() -> tuple[History, ...]:
    return tuple(live(seed, length=12) for seed in range(HISTORIES))


def check(rules: Any) -> None:
    """Raise, in whatever way, if these are not the rules."""
    check_edges(rules)
    check_vectors(rules)
    for seed, history in enumerate(histories()):
        check_history(history, Random(seed), rules)


def check_vectors(rules: Any) -> None:
    """The scenarios of trunk.json."""
    for scenario in test_trunk.VECTORS["scenarios"]:
        account = parse_cid(scenario["account"])
        state = rules.fold(rules.find_trunk(account, map(test_trunk.operation_of, scenario["operations"])))
        expected = scenario["state"]
        assert state.generation == expected["generation"]
        wanted = {test_trunk.key_of(key): test_trunk.cut_of(cut) for key, cut in expected["cuts"].items()}
        assert dict(state.cuts) == wanted
        assert {alarm.value for alarm in state.alarms} == set(expected["alarms"])
        logs: dict[PublicKey, dict[Any, Any]] = {}
        for entry in (test_trunk.entry_of(cid, account) for cid in scenario["entries"]):
            logs.setdefault(entry.header.key, {})[entry.cid] = entry
        standing: dict[str, str] = {}
        for device, held in logs.items():
            cut = state.cut_of(device)
            verdicts = rules.judge(NOTHING if cut is None else cut, held)
            standing |= {str(cid): verdict.value for cid, verdict in verdicts.items()}
        assert standing == scenario["standing"]


def key_at(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(32, "big"))


def check_edges(rules: Any) -> None:
    """The ends of every range: 0, 1, 256 and 257 generations, full tables, 64 and 65 devices, no trunk at all."""
    assert (rules.ADDED, rules.MAX_STORED) == (64, 390)
    account = cid_of(b"account")
    root = key_at(1)
    assert rules.find_trunk(account, []) is None
    turns = [key_at(1_000 + number) for number in range(GENERATIONS + 1)]
    for length in (1, 2, GENERATIONS, GENERATIONS + 1):
        chain = bytes(32)
        for turn in reversed(turns[:length]):
            chain = commit(turn, chain)
        incept = Table(account, root, root, chain, (), ())
        path = tuple(turns[:length])
        rotate = Table(cid_of(b"rotate"), path[-1], root, bytes(32), path, ())
        expected = length if length <= GENERATIONS else -1
        assert rules.find_generation(incept, rotate) == expected
        assert rules.find_generation(incept, incept) == 0
        stranger = Table(cid_of(b"another"), root, root, chain, (), ())
        assert rules.find_generation(incept, stranger) == -1
        assert rules.find_generation(stranger, replace(rotate, next=bytes(31) + b"x")) == -1
        assert rules.find_trunk(rotate.id, [incept, rotate]) is None
        assert rules.find_trunk(account, [rotate, stranger]) is None
    for rows in (0, 191, 192, 193, 255, 256):
        table = Table(account, root, root, bytes(32), (), tuple(Device(key_at(10 + row), "") for row in range(rows)))
        room = min(64, MAX_ROWS - rows)
        assert rules.limit(table) == room
        check_flood(table, room, rules)


def check_flood(table: Table, room: int, rules: Any) -> None:
    """One device fewer than a table has room for, as many, one more, and several more."""
    keys = [key_at(5_000 + number) for number in range(room + 9)]
    for count in (room, room + 1, room + 9):
        for kind in (ADD, REVOKE):
            named = [Op(cid_of(kind.encode() + key.bytes), table.root, table.id, kind, key) for key in keys[:count]]
            found = rules.find_trunk(table.id, [table, *named])
            kept = found.adds if kind == ADD else found.revokes
            assert set(kept) == set(keys[: min(count, room + 1)])
            state = rules.fold(found)
            assert (rules.Alarm.FLOODED in state.alarms) == (count > room)
            assert (keys[0] in state.cuts) == (kind == ADD and 0 < count <= room)


# --- the mutants ----------------------------------------------------------------------

MUTANTS: Final = list(iter_mutants())


def test_the_rule_itself_passes_the_battery() -> None:
    check(trunk)


def test_there_are_mutants_of_every_kind() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) > 80
    assert EQUIVALENT.keys() <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    try:
        check(build(mutant))
    except Exception:
        assert mutant.name not in EQUIVALENT, "no longer equivalent: take it off the list"
    else:
        assert mutant.name in EQUIVALENT, "this change of the rule goes unnoticed"
