"""Windows agree on the seams: what says the same everywhere comes back unchanged."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skelaug.refinement.windows import seam_weights, through_windows, window_rows


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    frames=st.integers(1, 20),
    stride=st.integers(1, 4),
    hop=st.integers(1, 20),
)
def test_the_weights_of_a_frame_sum_to_one(lengths, frames, stride, hop) -> None:
    rows = window_rows(lengths, frames, stride=stride, hop=min(hop, frames))
    weights = seam_weights(rows, sum(lengths))
    total = torch.zeros(sum(lengths)).double().index_add_(0, rows.flatten(), weights.flatten())
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
    assert bool((weights >= 0).all())


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 60), frames=st.integers(1, 20), stride=st.integers(1, 4))
def test_a_function_of_single_frames_does_not_notice_the_windows(length, frames, stride) -> None:
    poses, points = normal(length, 4, 3), normal(length, 4, 2)
    rows = window_rows([length], frames, stride=stride)
    found = through_windows(lambda x, y: 2 * x + y[..., :1], [poses, points], rows, batch=3)
    torch.testing.assert_close(found, 2 * poses + points[..., :1], rtol=0, atol=1e-12)


def test_windows_never_mix_clips() -> None:
    lengths = [7, 1, 30]
    rows = window_rows(lengths, 10)
    clip = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    assert bool((clip[rows] == clip[rows][:, :1]).all())
    assert rows[1].tolist() == [7] * 10
    assert rows[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]
    assert window_rows([], 10).shape == (0, 10)


def test_frames_are_taken_a_stride_apart_and_the_last_one_is_repeated() -> None:
    assert window_rows([8], 4, stride=3).tolist() == [[0, 3, 6, 6], [1, 4, 7, 7], [2, 5, 5, 5]]


def test_what_is_said_about_padding_does_not_count() -> None:
    poses = normal(5, 2, 3)
    rows = window_rows([5], 8)
    found = through_windows(lambda x: torch.arange(8.0).view(1, 8, 1, 1) + 0 * x, [poses], rows)
    torch.testing.assert_close(found[:, 0, 0], torch.arange(5.0).double())


def test_where_windows_overlap_one_fades_into_the_next() -> None:
    """Two windows that say 0 and 1: between them the blend rises by equal parts."""
    rows = window_rows([9], 6, hop=3)
    said = torch.tensor([0.0, 1.0]).view(2, 1, 1).expand(2, 6, 1).double()
    found = through_windows(lambda x: said, [normal(9, 1)], rows)[:, 0]
    expected = torch.tensor([0, 0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1]).double()
    torch.testing.assert_close(found, expected)


def test_neither_the_batch_nor_the_other_clips_change_a_result() -> None:
    first, second = normal(40, 3, 3), normal(23, 3, 3) + 1

    def mean_over_the_window(x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)

    both = torch.cat([first, second])
    wanted = through_windows(mean_over_the_window, [both], window_rows([40, 23], 9), batch=100)
    for batch in (1, 4):
        found = through_windows(mean_over_the_window, [both], window_rows([40, 23], 9), batch=batch)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)
    alone = through_windows(mean_over_the_window, [second], window_rows([23], 9))
    torch.testing.assert_close(wanted[40:], alone, rtol=0, atol=1e-13)


def test_no_more_than_a_batch_of_windows_is_ever_cut() -> None:
    sizes: list[int] = []

    def counted(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x.float()

    found = through_windows(counted, [normal(500, 1, 3)], window_rows([500], 10), batch=16)
    assert max(sizes) == 16
    assert found.dtype == torch.float32


def test_inputs_that_do_not_belong_together_are_refused() -> None:
    rows = window_rows([9], 6)
    with pytest.raises(ValueError, match=r"got \[9, 8\] frames"):
        through_windows(lambda x, y: x, [normal(9, 1), normal(8, 1)], rows)
    with pytest.raises(ValueError, match="and 0 windows"):
        through_windows(lambda x: x, [normal(9, 1)], rows[:0])
    with pytest.raises(ValueError, match="window_frames"):
        window_rows([0], 6)
