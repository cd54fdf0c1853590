from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.errors import UsageError
from skelaug.models.recognizers.streams import FUSION_WEIGHTS, STREAMS, as_streams
from skelaug.seeds import generator
from skelaug.skeleton.graph import center, rerooted
from skelaug.skeleton.layouts import get_layout

PARENTS = get_layout("ntu_25").parents


def clips(
    *, n: int = 2, frames: int = 7, persons: int = 2, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    shape = (n, 3, frames, len(PARENTS), persons)
    return torch.randn(shape, generator=generator(0), dtype=torch.float64).to(dtype)


def by_loops(x: torch.Tensor, name: str) -> torch.Tensor:
    """A stream by its definition, one number at a time over frames and joints."""
    out = torch.zeros_like(x)
    for t in range(x.shape[2]):
        for v, parent in enumerate(PARENTS):
            frames = [t, t + 1] if "motion" in name else [t]
            if frames[-1] == x.shape[2]:
                continue
            values = [
                x[:, :, f, v] - (x[:, :, f, parent] if parent >= 0 else x[:, :, f, v])
                if "bone" in name
                else x[:, :, f, v]
                for f in frames
            ]
            out[:, :, t, v] = values[-1] - values[0] if "motion" in name else values[0]
    return out


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_equals_its_definition_by_loops(name: str) -> None:
    x = clips()
    torch.testing.assert_close(as_streams(x, [name], PARENTS), by_loops(x, name), rtol=0, atol=0)


def test_streams_lie_side_by_side_in_the_order_of_their_names() -> None:
    x = clips()
    names = ("bone_motion", "joint", "bone")
    both = as_streams(x, names, PARENTS)
    assert both.shape == (2, 9, 7, 25, 2)
    for part, name in zip(both.split(3, dim=1), names, strict=True):
        assert torch.equal(part, as_streams(x, [name], PARENTS))


@pytest.mark.parametrize("name", ["bone", "joint_motion", "bone_motion"])
def test_where_a_clip_stands_does_not_matter_to_bones_and_motions(name: str) -> None:
    x = clips()
    moved = x + torch.tensor([1.0, -2.0, 3.0], dtype=x.dtype).reshape(1, 3, 1, 1, 1)
    torch.testing.assert_close(
        as_streams(moved, [name], PARENTS), as_streams(x, [name], PARENTS), rtol=0, atol=1e-14
    )


def test_joints_are_the_sums_of_the_bones_above_them() -> None:
    x = clips()
    bones = as_streams(x, ["bone"], PARENTS)
    root = PARENTS.index(-1)
    for joint in range(len(PARENTS)):
        total, above = x[:, :, :, root].clone(), joint
        while above != root:
            total += bones[:, :, :, above]
            above = PARENTS[above]
        torch.testing.assert_close(total, x[:, :, :, joint], rtol=0, atol=1e-13)


def test_motions_add_up_to_the_whole_way() -> None:
    x = clips()
    way = as_streams(x, ["joint_motion"], PARENTS).sum(dim=2)
    torch.testing.assert_close(way, x[:, :, -1] - x[:, :, 0], rtol=0, atol=1e-13)


def test_the_centred_tree_gives_the_published_bones() -> None:
    # CTR-GCN's table, 1-based (child, parent), without tips and thumbs, whose parents differ
    table = (
        (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9),
        (11, 10), (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
        (20, 19), (21, 21),
    )  # fmt: skip
    x = clips()
    bones = as_streams(x, ["bone"], rerooted(PARENTS, center(PARENTS)))
    for child, parent in table:
        expected = x[:, :, :, child - 1] - x[:, :, :, parent - 1]
        assert torch.equal(bones[:, :, :, child - 1], expected)


def test_an_absent_person_stays_zero_and_one_frame_has_no_motion() -> None:
    x = clips()
    x[..., 1] = 0
    assert not as_streams(x, STREAMS, PARENTS)[..., 1].any()
    still = as_streams(clips(frames=1), ["joint_motion", "bone_motion"], PARENTS)
    assert still.shape == (2, 6, 1, 25, 2)
    assert not still.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_type_stays_and_the_input_is_not_touched(dtype: torch.dtype) -> None:
    x = clips(dtype=dtype)
    before = x.clone()
    assert as_streams(x, STREAMS, PARENTS).dtype == dtype
    assert torch.equal(x, before)


def test_gradients_reach_every_number() -> None:
    x = clips(dtype=torch.float32).requires_grad_()
    weights = torch.randn((2, 12, 7, 25, 2), generator=generator(1))
    (as_streams(x, STREAMS, PARENTS) * weights).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_unknown_or_missing_names_are_refused() -> None:
    with pytest.raises(UsageError, match="got 'bones'; did you mean 'bone'"):
        as_streams(clips(), ["joint", "bones"], PARENTS)
    with pytest.raises(UsageError, match="got none; known are"):
        as_streams(clips(), [], PARENTS)
    with pytest.raises(ValueError, match="V = 20"):
        as_streams(clips(), ["joint"], get_layout("kinect_20").parents)


def test_every_stream_has_a_weight() -> None:
    assert tuple(FUSION_WEIGHTS) == STREAMS
    assert [FUSION_WEIGHTS[name] for name in STREAMS] == [0.6, 0.6, 0.4, 0.4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter calls its own old names
def test_the_exported_graph_agrees_at_other_sizes(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")

    class Streams(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return as_streams(x, STREAMS, PARENTS)

    path = tmp_path / "streams.onnx"
    sizes = {0: torch.export.Dim("n"), 2: torch.export.Dim("t")}
    example = clips(dtype=torch.float32)
    torch.onnx.export(
        Streams().eval(), (example,), str(path), dynamo=True, dynamic_shapes=(sizes,), verbose=False
    )
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    other = clips(n=3, frames=11, dtype=torch.float32)
    (got,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    np.testing.assert_array_equal(got, as_streams(other, STREAMS, PARENTS).numpy())
