"""How long the bones of a file's performers are."""

from __future__ import annotations

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.sequence import UNKNOWN
from skelaug.workflows.performers import lone_performer, performer_bones


def still(clip, size: float = 1.0):
    """The first pose of a clip for all of it."""
    return clip.replaced(positions=size * np.repeat(clip.positions[:1], clip.num_frames, axis=0))


def test_a_performer_has_the_median_of_all_clips(tmp_path, make_sequence, write_file) -> None:
    clip = make_sequence("walk")
    sizes = {1: (1.0, 1.1, 5.0), 2: (2.0,)}
    clips = [
        still(clip, size).replaced(name=f"{subject} {size}", subject=subject)
        for subject, some in sizes.items()
        for size in some
    ]
    gap = clip.replaced(name="gap", positions=clip.positions.copy())
    gap.positions[2, 0, 3] = np.nan
    clips += [gap, still(clip, 9.0).replaced(name="nobody", subject=UNKNOWN)]
    with SequenceFile(write_file(tmp_path / "a.h5", clips)) as file:
        found = performer_bones(file)
    assert set(found) == {1, 2}
    own = bone_lengths(clip.positions[0, 0], clip.layout)
    np.testing.assert_allclose(found[1], 1.1 * own, rtol=1e-5)
    np.testing.assert_allclose(found[2], 2.0 * own, rtol=1e-5)


def test_two_persons_are_no_performer_of_one_number(make_sequence) -> None:
    assert lone_performer(make_sequence(subject=4)) == 4
    assert lone_performer(make_sequence(subject=4, persons=2)) == UNKNOWN
