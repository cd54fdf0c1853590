import numpy as np
import pytest

from skelaug.metrics import neighbours
from skelaug.metrics.neighbours import nearest, nearest_other, root_relative

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(11, 6, 4, 3)).astype(np.float32)
QUERIES = RNG.normal(size=(7, 6, 4, 3)).astype(np.float32)


def brute(queries, reference):
    gaps = queries[:, None].astype(np.float64) - reference[None].astype(np.float64)
    return np.linalg.norm(gaps, axis=-1).mean(axis=(2, 3))


def test_the_nearest_is_that_of_the_full_table():
    found, table = nearest(QUERIES, CLIPS), brute(QUERIES, CLIPS)
    np.testing.assert_allclose(found.distances, table.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(found.indices, table.argmin(axis=1))


def test_the_distance_is_metres_per_joint_and_frame():
    moved = CLIPS[3:4] + np.float32([0.0, 0.03, 0.04])
    found = nearest(moved, CLIPS)
    assert found.indices.tolist() == [3]
    assert found.distances[0] == pytest.approx(0.05, rel=1e-5)


def test_a_copy_is_found_at_distance_zero_exactly():
    found = nearest(CLIPS[[4, 9]], CLIPS)
    assert found.indices.tolist() == [4, 9]
    assert found.distances.tolist() == [0.0, 0.0]


def test_leaving_one_out_never_answers_with_the_clip_itself():
    table = brute(CLIPS, CLIPS)
    np.fill_diagonal(table, np.inf)
    found = nearest_other(CLIPS, np.arange(len(CLIPS)))
    np.testing.assert_allclose(found.distances, table.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(found.indices, table.argmin(axis=1))
    some = nearest_other(CLIPS, np.array([8, 2]))
    np.testing.assert_array_equal(some.distances, found.distances[[8, 2]])


def test_a_twin_is_at_distance_zero_from_its_twin():
    twins = np.concatenate([CLIPS, CLIPS[:1]])
    assert nearest_other(twins, np.array([0])).distances[0] == 0
    assert nearest_other(twins, np.array([0])).indices[0] == 11


def test_chunks_change_nothing(monkeypatch):
    whole, own = nearest(QUERIES, CLIPS), nearest_other(CLIPS, np.arange(11))
    monkeypatch.setattr(neighbours, "CHUNK", 3)
    np.testing.assert_array_equal(nearest(QUERIES, CLIPS).distances, whole.distances)
    np.testing.assert_array_equal(nearest_other(CLIPS, np.arange(11)).indices, own.indices)


def test_root_relative_clips_do_not_notice_where_they_were():
    path = RNG.normal(size=(7, 6, 1, 3)).astype(np.float32)
    np.testing.assert_allclose(
        root_relative(QUERIES + path, root=2), root_relative(QUERIES, root=2), atol=1e-5
    )
    assert (root_relative(QUERIES, root=2)[:, :, 2] == 0).all()


def test_absent_persons_become_zeros():
    clip = QUERIES.copy()
    clip[:, :, 3] = np.nan
    assert (root_relative(clip, root=0)[:, :, 3] == 0).all()


def test_nothing_to_compare_with_is_refused():
    with pytest.raises(ValueError, match="at least one clip"):
        nearest(QUERIES, CLIPS[:0])
    with pytest.raises(ValueError, match="at least 2"):
        nearest_other(CLIPS[:1], np.array([0]))
    with pytest.raises(ValueError, match="T = 6"):
        nearest(QUERIES, CLIPS[:, :5])
