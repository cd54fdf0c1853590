"""Which bodies are actors: joined after a gap, phantoms dropped, ordered by motion."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.data.actors import ActorRule, Body, choose_actors

RULE = ActorRule()


def body(
    name: str,
    frames: range,
    *,
    x: float = 0.0,
    swing: float = 0.0,
    width: float = 0.4,
    height: float = 1.7,
) -> Body:
    t = np.array(frames)
    pose = np.array([[0, 0, 0], [0, height, 0], [width / 2, 1, 0], [-width / 2, 1, 0]])
    positions = np.tile(pose + np.array([x, 0.0, 2.5]), (len(t), 1, 1))
    positions[:, 2, 1] += swing * np.sin(t)
    return Body((name,), t, positions, rows=t)


def chosen(bodies: list[Body], persons: int) -> list[str]:
    return [actor.title for actor in choose_actors(bodies, RULE, persons=persons, fps=30)[0]]


def test_energy_is_the_variance_over_time_summed_over_joints_and_axes() -> None:
    one = body("a", range(50), swing=0.3)
    by_hand = sum(
        np.mean((one.positions[:, v, c] - one.positions[:, v, c].mean()) ** 2)
        for v in range(4)
        for c in range(3)
    )
    assert one.energy() == pytest.approx(by_hand, rel=1e-12)


def test_a_single_body_needs_no_decision() -> None:
    assert choose_actors([body("a", range(3))], RULE, persons=1, fps=30)[1] == []


def test_the_actor_that_moves_most_comes_first_whatever_the_order() -> None:
    still, moving = body("still", range(60)), body("moving", range(60), x=1, swing=0.3)
    assert chosen([still, moving], 2) == ["moving", "still"]
    assert chosen([moving, still], 2) == ["moving", "still"]


def test_a_class_of_one_person_keeps_the_one_that_moves() -> None:
    still, moving = body("still", range(60)), body("moving", range(60), x=1, swing=0.3)
    actors, decisions = choose_actors([still, moving], RULE, persons=1, fps=30)
    assert [actor.title for actor in actors] == ["moving"]
    assert any("still dropped" in text for text in decisions)


def test_the_two_that_move_most_of_three_are_kept() -> None:
    bodies = [body(str(k), range(60), x=k, swing=0.1 * k) for k in range(3)]
    assert chosen(bodies, 2) == ["2", "1"]


def test_a_body_that_comes_back_under_a_new_number_is_the_same_person() -> None:
    first, again = body("7", range(30)), body("9", range(36, 60), x=0.2)
    actors, decisions = choose_actors([first, again], RULE, persons=1, fps=30)
    assert actors[0].names == ("7", "9")
    assert actors[0].frames.tolist() == [*range(30), *range(36, 60)]
    assert "body 9 continues 7: 7 frames later, 0.20 m away" in decisions


def test_a_body_that_appears_too_far_away_is_somebody_else() -> None:
    first, other = body("7", range(30)), body("9", range(31, 60), x=0.9, swing=0.1)
    assert chosen([first, other], 2) == ["9", "7"]


def test_the_reach_grows_with_the_time_in_between() -> None:
    first, later = body("7", range(30)), body("9", range(75, 99), x=0.9)
    assert chosen([first, later], 2) == ["7+9"]


def test_bodies_that_are_there_at_the_same_time_are_never_joined() -> None:
    assert set(chosen([body("7", range(30)), body("9", range(29, 60))], 2)) == {"7", "9"}


def test_a_new_body_continues_the_nearest_of_those_that_vanished() -> None:
    bodies = [body("a", range(20)), body("b", range(20), x=0.4), body("c", range(21, 40), x=0.3)]
    assert set(chosen(bodies, 2)) == {"a", "b+c"}


def test_a_body_of_few_frames_is_a_phantom() -> None:
    for frames, names in ((RULE.min_frames - 1, ["a"]), (RULE.min_frames, ["blink", "a"])):
        blink = body("blink", range(5, 5 + frames), x=2, swing=0.5)
        assert chosen([body("a", range(60)), blink], 2) == names


def test_furniture_is_a_phantom() -> None:
    table = body("table", range(60), x=2, swing=0.0, width=1.5, height=0.8)
    actors, decisions = choose_actors([table, body("a", range(60))], RULE, persons=2, fps=30)
    assert [actor.title for actor in actors] == ["a"]
    assert "body table dropped: wider than tall in 100% of its frames" in decisions


@pytest.mark.parametrize(("width", "is_phantom"), [(0.79, False), (0.81, True)])
def test_furniture_begins_at_four_fifths_of_the_height(width: float, is_phantom: bool) -> None:
    other = body("b", range(60), x=2, width=width, height=1.0)
    assert ("b" not in chosen([other, body("a", range(60))], 2)) == is_phantom


def test_where_all_are_phantoms_the_one_seen_longest_stays() -> None:
    bodies = [body("a", range(5)), body("b", range(9), x=2)]
    assert chosen(bodies, 2) == ["b"]


def test_joints_that_were_not_measured_do_not_disturb() -> None:
    gaps = body("a", range(60), swing=0.2)
    gaps.positions[::2, 3] = np.nan
    gaps.positions[:, 2] = np.nan  # never measured
    gaps.positions[:, 1, 0] += 0.3 * np.sin(np.arange(60))
    assert chosen([gaps, body("b", range(60), x=1)], 1) == ["a"]
