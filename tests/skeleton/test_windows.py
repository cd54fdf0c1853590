"""Windows hold every frame of a clip, each of one phase, and say what follows its end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.skeleton.windows import window_frames


@given(
    count=st.integers(1, 400),
    frames=st.integers(1, 60),
    stride=st.integers(1, 6),
    hop=st.integers(1, 60),
    beyond=st.sampled_from(["mirror", "hold"]),
)
def test_every_frame_is_in_a_window_and_no_window_leaves_its_phase(
    count, frames, stride, hop, beyond
) -> None:
    hop = min(hop, frames)
    found = window_frames(count, frames, stride, hop, beyond=beyond)
    assert found.shape[1] == frames
    assert set(found.ravel().tolist()) == set(range(count))
    for window in found:
        assert len(set((window % stride).tolist())) == 1
        length = -(-(count - window[0] % stride) // stride)
        if length >= frames:
            assert (np.diff(window) == stride).all()
        elif beyond == "mirror":
            assert (np.abs(np.diff(window)) == (stride if length > 1 else 0)).all()
        else:
            assert np.diff(window).tolist() == [stride] * (length - 1) + [0] * (frames - length)


def test_windows_start_a_hop_apart_and_the_last_one_ends_with_the_clip() -> None:
    assert window_frames(11, 4, 1, 3)[:, 0].tolist() == [0, 3, 6, 7]
    assert window_frames(10, 4, 1, 3)[:, 0].tolist() == [0, 3, 6]
    assert window_frames(4, 4, 1, 2).tolist() == [[0, 1, 2, 3]]


def test_interleaved_phases_are_read_one_after_the_other() -> None:
    assert window_frames(7, 3, 2, 3).tolist() == [[0, 2, 4], [2, 4, 6], [1, 3, 5]]


def test_a_short_clip_is_mirrored_at_its_ends() -> None:
    assert window_frames(3, 8, 1, 4).tolist() == [[0, 1, 2, 1, 0, 1, 2, 1]]
    assert window_frames(1, 4, 1, 4).tolist() == [[0, 0, 0, 0]]
    assert window_frames(3, 3, 2, 1).tolist() == [[0, 2, 0], [1, 1, 1]]


def test_or_its_last_frame_is_held() -> None:
    assert window_frames(3, 6, 1, 4, beyond="hold").tolist() == [[0, 1, 2, 2, 2, 2]]
    assert window_frames(4, 3, 3, 1, beyond="hold").tolist() == [[0, 3, 3], [1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize("wrong", [(0, 5, 1, 5), (9, 5, 0, 5), (9, 5, 1, 6), (9, 5, 1, 0)])
def test_windows_that_would_leave_frames_out_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="window_frames"):
        window_frames(*wrong)
