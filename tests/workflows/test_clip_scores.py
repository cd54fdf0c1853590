"""Scores of clips come in the order of the clips, whatever goes through the network together."""

from __future__ import annotations

import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.imputation.typicality import DENSITIES
from skelaug.workflows import clip_scores
from skelaug.workflows.clip_scores import score_clips, usual_of_file
from skelaug.workflows.motion_prior import load_prior


@pytest.fixture
def data(write_file, make_sequence, tmp_path):
    """Nine clips, one of two persons, and one of nobody in between."""
    clips = [make_sequence(name=f"{n}", seed=n, frames=20 + n) for n in range(8)]
    clips.insert(3, make_sequence(name="empty", missing=1.1))
    clips.append(make_sequence(name="pair", persons=2, missing=0.2))
    return write_file(tmp_path / "clips.h5", clips)


def scored(prior, path, rows, by="joint"):
    with SequenceFile(path) as file:
        groups = list(score_clips(prior, file, rows, by=by, min_confidence=0.0))
    return [one for group in groups for one in group], len(groups)


def test_scores_do_not_depend_on_how_many_clips_are_taken_together(data, make_prior, monkeypatch):
    prior, rows = load_prior(make_prior()), [9, 3, 0, 5]
    together, groups = scored(prior, data, rows)
    monkeypatch.setattr(clip_scores, "_TOGETHER", 1)
    alone, more = scored(prior, data, rows)
    assert (groups, more) == (1, 4)
    assert [one.clip.name for one in together] == ["pair", "empty", "0", "4"]
    assert [list(one.persons) for one in together] == [[0, 1], [], [0], [0]]
    for one, other in zip(together, alone, strict=True):
        assert one.clip.name == other.clip.name
        for slot, (track, score) in one.persons.items():
            assert score == pytest.approx(other.persons[slot][1], abs=0.01)
            np.testing.assert_array_equal(track.observed, one.clip.observed[:, slot])


@pytest.mark.parametrize("by", DENSITIES)
def test_what_is_usual_is_the_mean_and_spread_over_persons(by, data, make_prior):
    prior, counted = load_prior(make_prior()), []
    with SequenceFile(data) as file:
        found = usual_of_file(
            prior, file, by=by, min_confidence=0.0, advance=lambda n, **_: counted.append(n)
        )
    clips, _ = scored(prior, data, range(10), by=by)
    values = [score for one in clips for _, score in one.persons.values()]
    assert len(values) == 10
    assert found.mean == pytest.approx(sum(values) / 10)
    assert found.std**2 == pytest.approx(sum((v - found.mean) ** 2 for v in values) / 10)
    assert (found.clips, sum(counted)) == (9, 10)
