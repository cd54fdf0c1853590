from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from skelaug.models.recognizers import RECOGNIZERS
from skelaug.models.transfer import Names, carry_weights
from skelaug.skeleton.layouts import LAYOUTS


class Tiny(nn.Module):
    AXES: ClassVar[dict[str, str]] = {"norm": "(m v c)", "mix": "k v v", "classify": "y d"}

    def __init__(self, names: Names, start: float) -> None:
        super().__init__()
        v, y = len(names.joints), len(names.classes)
        count = names.persons * v * names.channels
        self.norm = nn.Parameter(start + torch.arange(float(count)))
        self.mix = nn.Parameter(start + torch.arange(2.0 * v * v).view(2, v, v))
        self.classify = nn.Parameter(start + torch.arange(3.0 * y).view(y, 3))
        self.plain = nn.Parameter(torch.full((4,), start))


SOURCE = Names(("hip", "head", "hand"), ("kick", "wave"), persons=2, channels=3)
TARGET = Names(("head", "foot", "hip"), ("wave", "walk", "kick"), persons=1, channels=3)


def test_joints_and_classes_are_matched_by_name_and_the_rest_stays():
    source, target = Tiny(SOURCE, 0.0), Tiny(TARGET, 1000.0)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    carried = carry_weights(target, source.state_dict(), source=SOURCE, target=TARGET)
    assert carried.whole == ("plain",)
    assert carried.partly == ("norm", "mix", "classify")
    assert carried.left == ()
    assert carried.joints == ("head", "hip")
    assert carried.classes == ("wave", "kick")
    there, here = {"head": 1, "hip": 0}, {"head": 0, "hip": 2}
    old_norm, norm = source.norm.view(2, 3, 3), target.norm.view(1, 3, 3)
    for joint in there:
        assert torch.equal(norm[0, here[joint]], old_norm[0, there[joint]])
        for other in there:
            assert torch.equal(
                target.mix[:, here[joint], here[other]], source.mix[:, there[joint], there[other]]
            )
    assert torch.equal(norm[0, 1], before["norm"].view(1, 3, 3)[0, 1])  # the foot is new
    assert torch.equal(target.mix[:, 1], before["mix"][:, 1])
    assert torch.equal(target.classify[0], source.classify[1])
    assert torch.equal(target.classify[2], source.classify[0])
    assert torch.equal(target.classify[1], before["classify"][1])


def test_other_channels_and_missing_parameters_are_left():
    narrow = Names(TARGET.joints, TARGET.classes, persons=1, channels=2)
    target = Tiny(narrow, 5.0)
    weights = dict(Tiny(SOURCE, 0.0).state_dict())
    del weights["plain"]
    carried = carry_weights(target, weights, source=SOURCE, target=narrow)
    assert carried.left == ("norm", "plain")


def test_no_class_in_common_leaves_the_classifier():
    stranger = Names(TARGET.joints, ("jump",), persons=1, channels=3)
    target = Tiny(stranger, 5.0)
    weights = Tiny(SOURCE, 0.0).state_dict()
    carried = carry_weights(target, weights, source=SOURCE, target=stranger)
    assert "classify" in carried.left


def test_an_axis_of_channels_and_joints_is_matched_by_size_and_name():
    class Rows(nn.Module):
        AXES: ClassVar[dict[str, str]] = {"rows": "(d v)"}

        def __init__(self, channels: int, names: Names, start: float) -> None:
            super().__init__()
            count = channels * len(names.joints)
            self.rows = nn.Parameter(start + torch.arange(float(count)))

    source, target = Rows(4, SOURCE, 0.0), Rows(4, TARGET, 100.0)
    carried = carry_weights(target, source.state_dict(), source=SOURCE, target=TARGET)
    assert carried.partly == ("rows",)
    old, new = source.rows.view(4, 3), target.rows.view(4, 3)
    assert torch.equal(new[:, 0], old[:, 1])  # head
    assert torch.equal(new[:, 2], old[:, 0])  # hip
    assert torch.equal(new[:, 1], 100.0 + torch.arange(12.0).view(4, 3)[:, 1])  # the foot is new
    for channels in (3, 5):
        other = Rows(channels, TARGET, 0.0)
        carried = carry_weights(other, source.state_dict(), source=SOURCE, target=TARGET)
        assert carried.left == ("rows",)


@pytest.mark.parametrize("kind", RECOGNIZERS)
def test_a_recognizer_with_the_same_joints_and_classes_is_carried_whole(kind):
    layout, classes = LAYOUTS["kinect_20"], tuple("abcdefg")
    arguments = {"parents": layout.parents, "num_classes": 7, "persons": 2, "channels": 3}
    first, second = RECOGNIZERS[kind](**arguments), RECOGNIZERS[kind](**arguments)
    names = Names(layout.joints, classes, persons=2, channels=3)
    carried = carry_weights(second, first.state_dict(), source=names, target=names)
    assert carried.partly == carried.left == ()
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name]), name


# these two know joints by their numbers
@pytest.mark.parametrize("kind", sorted(set(RECOGNIZERS) - {"fg-stformer", "shift-gcn"}))
def test_joints_in_another_order_give_the_same_answers(kind):
    """A network on permuted joints with carried weights is the network on the joints."""
    layout, classes = LAYOUTS["kinect_20"], tuple("abcdefg")
    v = layout.num_joints
    order = torch.randperm(v, generator=torch.Generator().manual_seed(3)).tolist()
    place = {old: new for new, old in enumerate(order)}
    parents = [place[layout.parents[old]] if layout.parents[old] >= 0 else -1 for old in order]
    shared = {"num_classes": 7, "persons": 1, "channels": 3}
    first = RECOGNIZERS[kind](parents=layout.parents, **shared).eval()
    second = RECOGNIZERS[kind](parents=parents, **shared).eval()
    for name, tensor in first.state_dict().items():
        if tensor.is_floating_point() and "running_var" not in name:
            tensor.add_(0.05 * torch.randn(tensor.shape))
    carried = carry_weights(
        second,
        first.state_dict(),
        source=Names(layout.joints, classes),
        target=Names([layout.joints[old] for old in order], classes),
    )
    assert carried.left == carried.partly == ()
    x = torch.randn(2, 3, 32, v, 1)
    with torch.no_grad():
        torch.testing.assert_close(second(x[:, :, :, order]), first(x), atol=1e-3, rtol=1e-3)
