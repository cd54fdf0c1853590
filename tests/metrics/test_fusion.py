from __future__ import annotations

import numpy as np
import pytest

from skelaug.errors import DataError, UsageError
from skelaug.metrics.fusion import fuse

NAMES = ("a", "b", "c", "d", "e")


def scores(seed: int, names: tuple[str, ...] = NAMES) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed)
    return {name: values.standard_normal(4).astype(np.float32) for name in names}


def shuffled(score: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(list(score))
    return {str(name): score[str(name)] for name in order}


def test_logits_are_added_with_their_weights() -> None:
    joint, bone = scores(0), scores(1)
    fused = fuse([joint, bone], [0.6, 0.4])
    for name in NAMES:
        for k in range(4):
            expected = 0.6 * float(joint[name][k]) + 0.4 * float(bone[name][k])
            assert fused[name][k] == pytest.approx(expected, rel=1e-15)


def test_clips_are_matched_by_name_and_not_by_order() -> None:
    models = [scores(seed) for seed in range(3)]
    fused = fuse(models, [1, 0.5, 2])
    for seed in range(5):
        permuted = [models[0], *(shuffled(model, seed) for model in models[1:])]
        again = fuse(permuted, [1, 0.5, 2])
        assert list(again) == list(fused)
        for name in NAMES:
            np.testing.assert_array_equal(again[name], fused[name])


def test_the_result_has_the_order_of_the_first_model() -> None:
    turned = dict(reversed(scores(0).items()))
    assert list(fuse([turned, scores(1)])) == list(reversed(NAMES))


def test_logits_and_not_probabilities_are_added() -> None:
    sure = {"a": np.array([20.0, 0.0])}
    torn = {"a": np.array([0.0, 12.0])}
    # as probabilities the two would nearly cancel; as logits the surer one decides by 8
    np.testing.assert_array_equal(fuse([sure, torn])["a"], [20, 12])


def test_one_model_alone_is_itself_and_inputs_stay_as_they_are() -> None:
    joint = scores(0)
    before = {name: logits.copy() for name, logits in joint.items()}
    for fused in (fuse([joint]), fuse([joint, scores(1)], [1, 0])):
        for name in NAMES:
            np.testing.assert_array_equal(fused[name], joint[name])
            fused[name] += 1
    for name in NAMES:
        np.testing.assert_array_equal(joint[name], before[name])
    assert fuse([{}, {}]) == {}


def test_different_clips_are_named_for_each_model() -> None:
    long = scores(0, tuple("abcdefgh"))
    with pytest.raises(DataError, match="model 2 lacks 'f', 'g', 'h'; run"):
        fuse([long, scores(1)])
    with pytest.raises(DataError, match="model 1 lacks 'z'; model 2 lacks 'd', 'e', 'f' and 2 mor"):
        fuse([long, scores(1, ("a", "b", "c", "z"))])
    with pytest.raises(DataError, match="model 2 lacks 'a', 'b', 'c' and 2 more"):
        fuse([scores(0), {}])


def test_different_classes_are_refused() -> None:
    other = scores(1)
    other["c"] = np.zeros(5)
    with pytest.raises(DataError, match=r"clip 'c': .* got \[4\] and \[5\]; fuse models of the sa"):
        fuse([scores(0), other])
    with pytest.raises(DataError, match="one logit per class"):
        fuse([{"a": np.zeros((2, 4))}])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(value: float) -> None:
    other = scores(1)
    other["d"][2] = value
    with pytest.raises(DataError, match="clip 'd': expected finite logits"):
        fuse([scores(0), other])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "expected 2, one per model, got 1"),
        ([1, 1, 1], "expected 2, one per model, got 3"),
        ([1, -0.1], "at least 0"),
        ([0, 0], "one of them above"),
        ([1, float("nan")], "finite"),
        ([1, float("inf")], "finite"),
    ],
)
def test_weights_must_fit_the_models(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fuse([scores(0), scores(1)], weights)


def test_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one model"):
        fuse([])
