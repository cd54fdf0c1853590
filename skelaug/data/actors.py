"""Which of the bodies that a depth sensor saw are the actors, and which are furniture.

A Kinect numbers bodies by the moment at which it found them: an actor who was lost for a while
comes back under a new number, chairs and tables are taken for people, and the order of the bodies
says nothing. So bodies are first joined into persons, phantoms are dropped, and the persons that
remain are ordered by how much they move. Every choice is put into words for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["ActorRule", "Body", "choose_actors"]


@dataclass(frozen=True)
class ActorRule:
    """What makes a body an actor.

    Attributes:
        min_frames: A body seen in fewer frames is a phantom.
        max_width: A frame looks like furniture when the body is wider (x) than this part of its
            height (y).
        max_wide_frames: A body is a phantom when more than this part of its frames look so.
        reentry_distance: A body that appears continues one that vanished when it is at most this
            far from where that one was last seen, in metres.
        reentry_speed: The distance grows by this for each second in between, in metres per second.
    """

    min_frames: int = 12
    max_width: float = 0.8
    max_wide_frames: float = 0.7
    reentry_distance: float = 0.5
    reentry_speed: float = 1.0


@dataclass(frozen=True)
class Body:
    """One body, or several that are one person, over time.

    Attributes:
        names: The sensor's numbers, in the order of their appearance.
        frames: int (K), ascending: the frames in which it was seen.
        positions: K V 3 in metres.
        rows: int (K): where these positions are in the reader's own table.
    """

    names: tuple[str, ...]
    frames: NDArray[np.int64]
    positions: NDArray[np.float64]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def title(self) -> str:
        """The numbers as a message names them."""
        return "+".join(self.names)

    def energy(self) -> float:
        """Motion: the variance over time, summed over joints and axes, in square metres."""
        seen = np.isfinite(self.positions)
        count = np.maximum(seen.sum(axis=0), 1)
        values = np.where(seen, self.positions, 0)
        means = values.sum(axis=0) / count
        squares = np.where(seen, (values - means) ** 2, 0)
        return float((squares.sum(axis=0) / count).sum())

    def wide_frames(self, max_width: float) -> float:
        """The part of the frames in which it is wider than `max_width` of its height."""
        low, high = np.nanmin(self.positions, axis=1), np.nanmax(self.positions, axis=1)
        width, height, _ = (high - low).T
        return float(np.mean(width > max_width * height))


def choose_actors(
    bodies: Sequence[Body], rule: ActorRule, *, persons: int, fps: float
) -> tuple[list[Body], list[str]]:
    """The actors, the one that moves most first, and the decisions that led to them.

    Args:
        bodies: At least one finite position each.
        rule: What makes a body an actor.
        persons: The most actors that the clip can have.
        fps: Frames per second.
    """
    if len(bodies) == 1:
        return list(bodies), []
    decisions: list[str] = []
    people = _joined(bodies, rule, fps=fps, decisions=decisions)
    kept = _without_phantoms(people, rule, decisions)
    ranked = sorted(kept, key=lambda body: (-body.energy(), body.names))
    for body in ranked[persons:]:
        what = "person" if persons == 1 else "persons"
        decisions.append(
            f"body {body.title} dropped: the class has {persons} {what} and others move more "
            f"({body.energy():.3f} m2)"
        )
    chosen = ranked[:persons]
    titles = ", ".join(f"{body.title} ({body.energy():.3f} m2)" for body in chosen)
    return chosen, [*decisions, f"actors in order of motion: {titles}"]


def _joined(
    bodies: Sequence[Body], rule: ActorRule, *, fps: float, decisions: list[str]
) -> list[Body]:
    people: list[Body] = []
    for body in sorted(bodies, key=lambda body: (int(body.frames[0]), body.names)):
        distances = [_reach(person, body, rule, fps) for person in people]
        nearest = int(np.argmin(distances)) if distances else -1
        if nearest < 0 or not np.isfinite(distances[nearest]):
            people.append(body)
            continue
        person = people[nearest]
        gap = int(body.frames[0] - person.frames[-1])
        decisions.append(
            f"body {body.title} continues {person.title}: {gap} frames later, "
            f"{distances[nearest]:.2f} m away"
        )
        people[nearest] = Body(
            names=person.names + body.names,
            frames=np.concatenate([person.frames, body.frames]),
            positions=np.concatenate([person.positions, body.positions]),
            rows=np.concatenate([person.rows, body.rows]),
        )
    return people


def _reach(before: Body, after: Body, rule: ActorRule, fps: float) -> float:
    """How far the second body starts from where the first one ended; infinite if too far."""
    gap = int(after.frames[0] - before.frames[-1])
    if gap <= 0:
        return np.inf
    centres = np.nanmean(before.positions[-1], axis=0) - np.nanmean(after.positions[0], axis=0)
    distance = float(np.linalg.norm(centres))
    allowed = rule.reentry_distance + rule.reentry_speed * (gap - 1) / fps
    return distance if distance <= allowed else np.inf


def _without_phantoms(people: Sequence[Body], rule: ActorRule, decisions: list[str]) -> list[Body]:
    """Those that are no phantoms; the one seen longest if all are."""
    reasons: dict[str, str] = {}
    for body in people:
        wide = body.wide_frames(rule.max_width)
        if len(body.frames) < rule.min_frames:
            reasons[body.title] = f"seen in {len(body.frames)} frames only"
        elif wide > rule.max_wide_frames:
            reasons[body.title] = f"wider than tall in {wide:.0%} of its frames"
    if len(reasons) == len(people):
        longest = max(people, key=lambda body: (len(body.frames), body.energy()))
        reasons.pop(longest.title)
    decisions.extend(f"body {title} dropped: {reason}" for title, reason in reasons.items())
    return [body for body in people if body.title not in reasons]
