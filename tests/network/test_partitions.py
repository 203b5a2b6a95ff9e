"""Real processes on machines of their own: what a partition kept apart comes together once it heals."""

import sys
import time
from pathlib import Path
from random import Random

import pytest
from tests.network.town import Inhabitant, await_equal, town
from tests.network.wires import machines


def post_round(people: list[Inhabitant], count: int) -> list[str]:
    """So many posts, by everybody in turn; their ids."""
    for number in range(count):
        one = people[number % len(people)]
        one.post(f"post {number} of {one.machine.name}")
    return [post for one in people for post in one.posts]


@pytest.mark.timeout(120)
def test_two_halves_of_a_town_hold_the_same_once_they_meet(tmp_path: Path) -> None:
    with machines(4) as (places, wires), town(places, tmp_path) as people:
        await_equal(people, [], within_s=30)
        wires.part([0, 0, 1, 1])
        posts = post_round(people, 60)
        assert all(one.lacks(posts) for one in people)  # there is no way around
        wires.part([0, 0, 0, 0])

        await_equal(people, posts, within_s=60)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_nodes_in_three_parts_are_equal_within_a_minute_of_healing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with machines(10) as (places, wires), town(places, tmp_path) as people:
        await_equal(people, [], within_s=120)
        wires.loss, wires.delay_s = 0.2, 0.15
        wires.part([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
        posts = post_round(people, 1_000)
        wires.part([0] * len(people))

        took_s = await_equal(people, posts, within_s=60)
    with capsys.disabled():
        sys.stdout.write(
            f"\n10 nodes, 3 parts, 1,000 posts, 20 % loss, 300 ms round trip: equal after {took_s:.1f} s; "
            f"{wires.carried:,} packets carried, {wires.lost:,} lost\n"
        )


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_thirty_nodes_that_come_and_go_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dice = Random(30)
    with machines(30) as (places, wires), town(places, tmp_path) as people:
        await_equal(people, [], within_s=300)
        wires.delay_s = 0.02
        ends_at = time.monotonic() + 300
        kills = 0
        while time.monotonic() < ends_at:
            one = dice.choice(people)
            if one.is_running:
                one.stop()
                kills += 1
            else:
                one.start()
                one.await_start()
            for author in dice.sample(people, 3):
                author.post(f"meanwhile {len(author.posts)}")
            time.sleep(dice.uniform(0.5, 1.5))
        for one in people:
            if not one.is_running:
                one.start()
                one.await_start()
        posts = [post for one in people for post in one.posts]

        took_s = await_equal(people, posts, within_s=300)
    with capsys.disabled():
        sys.stdout.write(f"\n30 nodes, {kills} killed in 5 minutes, {len(posts)} posts: equal after {took_s:.1f} s\n")
