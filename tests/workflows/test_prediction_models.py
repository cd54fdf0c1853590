from __future__ import annotations

import numpy as np
import pytest
import torch

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.workflows.prediction_models import (
    class_order,
    load_recognizers,
    stream_weights,
    training_clips,
)
from skelaug.workflows.recognizer import load_recognizer

CPU = torch.device("cpu")


def test_the_joints_of_every_model_are_those_of_the_file(make_recognizer, data_file):
    fits, differs = make_recognizer(), make_recognizer("ntu", layout="ntu_25")
    with SequenceFile(data_file) as file:
        assert len(load_recognizers([str(fits)], file, device=CPU)) == 1
        with pytest.raises(DataError, match=r"data.h5: expected layout ntu_25 as in .*kinect_20"):
            load_recognizers([str(fits), str(differs)], file, device=CPU)


def test_the_order_takes_one_models_logits_to_anothers_classes(make_recognizer):
    first = load_recognizer(make_recognizer("a", classes=("x", "y", "z")))
    other = load_recognizer(make_recognizer("b", classes=("z", "x", "y")))
    assert [other.classes[k] for k in class_order(first, other)] == ["x", "y", "z"]
    assert class_order(first, first) == [0, 1, 2]


@pytest.mark.parametrize(
    ("streams", "weights"),
    [
        ([("joint",), ("bone",), ("joint_motion",), ("bone_motion",)], (0.6, 0.6, 0.4, 0.4)),
        ([("bone_motion",), ("joint",)], (0.4, 0.6)),
        ([("bone_motion",)], (1,)),
        ([("bone_motion",), ("bone_motion",)], (1, 1)),
        ([("joint_motion",), ("joint", "bone")], (1, 1)),
    ],
)
def test_weights_are_the_published_ones_where_each_model_has_a_stream_of_its_own(
    make_recognizer, streams, weights
):
    models = [load_recognizer(make_recognizer(str(k), streams=s)) for k, s in enumerate(streams)]
    assert stream_weights(models) == weights


def test_training_clips_are_those_of_the_split_that_a_model_tells(make_recognizer, data_file):
    with SequenceFile(data_file) as file:
        ones, twos = (split_clips(file, f"subject={number}") for number in (1, 2))
        told = [
            {"split": {"rule": ones.rule, "hash": ones.hash}},
            {"split": {"rule": twos.rule, "hash": twos.hash}},
            {"split": {"rule": ones.rule, "hash": "0" * 64}},
            {"split": {"rule": "camera=7", "hash": ones.hash}},
            {"split": "by hand"},
        ]
        models = [load_recognizer(make_recognizer(str(k), meta=m)) for k, m in enumerate(told)]
        both = training_clips(file, models)
        np.testing.assert_array_equal(np.flatnonzero(both), sorted([*ones.train, *twos.train]))
        np.testing.assert_array_equal(np.flatnonzero(training_clips(file, models[:1])), ones.train)
        assert not training_clips(file, models[2:]).any()
