import numpy as np
import pytest

from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence, Source

SBU = LAYOUTS["sbu_15"]


def clip(t=4, m=2, **changes):
    values = {
        "positions": np.zeros((t, m, 15, 3), np.float32),
        "observed": np.ones((t, m, 15), np.bool_),
        "layout": SBU,
        "fps": 15.0,
        "name": "a",
    }
    return SkeletonSequence(**(values | changes))


def test_a_clip_knows_its_frames_persons_and_duration():
    sequence = clip(t=30)
    assert (sequence.num_frames, sequence.num_persons, sequence.duration) == (30, 2, 2.0)


def test_what_is_not_said_is_unknown():
    sequence = clip()
    assert {sequence.subject, sequence.camera, sequence.setup, sequence.seed} == {UNKNOWN}
    assert (sequence.label, sequence.confidence, sequence.source) == ("", None, Source.REAL)


def test_a_person_is_present_if_any_joint_was_ever_measured():
    observed = np.zeros((4, 2, 15), np.bool_)
    observed[3, 1, 7] = True
    np.testing.assert_array_equal(clip(observed=observed).present, [False, True])


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": np.zeros((4, 2, 14, 3), np.float32)},
        {"positions": np.zeros((4, 15, 3), np.float32)},
        {"observed": np.ones((4, 1, 15), np.bool_)},
        {"confidence": np.ones((3, 2, 15), np.float32)},
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError, match="expected T M V"):
        clip(**changes)


def test_replaced_changes_a_copy():
    sequence = clip()
    assert sequence.replaced(label="kick").label == "kick"
    assert sequence.label == ""
