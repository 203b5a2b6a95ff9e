"""How far receipts reach, against counting record by record."""

from hypothesis import given
from hypothesis import strategies as st

from unhush.identity.keys import PublicKey
from unhush.node.keeping.coverage import Cover, Runs, count, count_by, count_covered, least, unite

KEYS = [PublicKey(bytes([number]) * 32) for number in range(3)]


@st.composite
def runs(draw: st.DrawFn) -> Runs:
    """Ascending runs with gaps between them."""
    edges = sorted(draw(st.sets(st.integers(0, 40), max_size=8)))
    pairs = [(edges[at], edges[at + 1]) for at in range(0, len(edges) - 1, 2)]
    return tuple((low, high) for low, high in pairs)


LOGS = st.dictionaries(st.sampled_from(KEYS), runs(), max_size=3)
PLACES = st.tuples(st.sampled_from(KEYS), st.integers(0, 40))
COVERS = st.lists(
    st.builds(
        Cover, st.dictionaries(st.sampled_from(KEYS), st.integers(0, 45), max_size=3), st.frozensets(PLACES, max_size=5)
    ),
    max_size=4,
)


def one_by_one(logs: dict[PublicKey, Runs], covers: list[Cover]) -> list[int]:
    """For every record held the number of receipts that cover it."""
    return [
        sum(cover.heads.get(key, -1) >= seq and (key, seq) not in cover.holes for cover in covers)
        for key, held in logs.items()
        for low, high in held
        for seq in range(low, high + 1)
    ]


@given(LOGS, COVERS, st.integers(1, 5))
def test_counting_runs_comes_to_the_same_as_counting_records(
    logs: dict[PublicKey, Runs], covers: list[Cover], by: int
) -> None:
    each = one_by_one(logs, covers)
    assert count(logs) == len(each)
    assert count_by(logs, covers, by) == sum(number >= by for number in each)
    assert least(logs, covers) == min(each, default=0)
    for cover in covers:
        assert count_covered(logs, cover) == sum(one_by_one(logs, [cover]))


@given(LOGS, COVERS)
def test_what_several_devices_hold_is_what_any_of_them_does(logs: dict[PublicKey, Runs], covers: list[Cover]) -> None:
    assert count_covered(logs, unite(covers)) == count_by(logs, covers, 1)


def test_a_withheld_record_is_not_covered() -> None:
    logs = {KEYS[0]: ((0, 9),)}
    cover = Cover({KEYS[0]: 9}, frozenset({(KEYS[0], 4), (KEYS[0], 12)}))
    assert count_covered(logs, cover) == 9
    assert count_by(logs, [cover, Cover({KEYS[0]: 4})], 1) == 10
    assert count_by(logs, [cover, Cover({KEYS[0]: 4})], 2) == 4
