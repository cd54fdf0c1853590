import numpy as np
import pytest
import torch

from skelaug.workflows.evaluation_network import RecognizerTraining, _augmented, train_recognizer

FRAMES, JOINTS = 8, 5
QUICK = RecognizerTraining(steps=60, batch=12)
STILL = RecognizerTraining(turn=0, tilt=0, size=0, crop=0, tempo=0)


def clips(count=24, seed=0):
    """Three classes that swing a joint each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    positions = rng.normal(scale=0.002, size=(count, FRAMES, JOINTS, 3)) + np.eye(JOINTS, 3)
    swing = np.sin(np.linspace(0, 6, FRAMES) + rng.uniform(0, 1, (count, 1)))
    positions[np.arange(count), :, 1 + labels, 1] += 0.5 * swing
    return positions.astype(np.float32), labels


def trained(positions, labels, **options):
    options = {"training": QUICK, "roots": [0] * JOINTS, "num_classes": 3, **options}
    return train_recognizer(positions, labels, **options)


def test_it_learns_what_tells_the_classes_apart():
    recognizer = trained(*clips())
    positions, labels = clips(60, seed=1)
    reading = recognizer.read(positions)
    assert (reading.predictions == labels).mean() > 0.8
    assert reading.features.shape == (60, 30)
    assert np.abs(reading.features).max() <= 1


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    few = RecognizerTraining(steps=3)
    first, second = (trained(*clips(), training=few) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name
    other = trained(*clips(), training=few, seed=1).network.classify.weight
    assert not torch.equal(first.network.classify.weight, other)


def test_inputs_are_standardised_on_the_training_clips():
    positions, labels = clips()
    recognizer = trained(positions, labels, training=RecognizerTraining(steps=1))
    inputs = recognizer.inputs(torch.from_numpy(positions)).unflatten(2, (JOINTS, 3))
    np.testing.assert_allclose(inputs.mean(dim=(0, 1)), 0, atol=1e-4)
    moving = recognizer.std > 0.021  # the least deviation keeps still joints from being blown up
    np.testing.assert_allclose(inputs.std(dim=(0, 1))[moving], 1, atol=0.01)


def test_joints_are_taken_relative_to_their_root_and_roots_keep_their_path():
    positions, labels = clips()
    recognizer = trained(positions, labels, training=RecognizerTraining(steps=1))
    moved = positions + np.float32([0.3, 0.0, 0.0])
    change = recognizer.inputs(torch.from_numpy(moved)) - recognizer.inputs(
        torch.from_numpy(positions)
    )
    change = change.unflatten(2, (JOINTS, 3)) * recognizer.std
    np.testing.assert_allclose(change[:, :, 0, 0], 0.3, atol=1e-5)
    np.testing.assert_allclose(change[:, :, 1:], 0, atol=1e-5)


def test_absent_persons_are_zeros_and_count_in_no_statistic():
    positions, labels = clips()
    both = np.concatenate([positions, positions], axis=2)
    both[::2, :, JOINTS:] = np.nan
    roots = np.repeat([0, JOINTS], JOINTS)
    recognizer = trained(both, labels, roots=roots, training=RecognizerTraining(steps=2))
    assert torch.isfinite(recognizer.mean).all()
    present = trained(positions[1::2], labels[1::2], training=RecognizerTraining(steps=1))
    np.testing.assert_allclose(recognizer.mean[JOINTS:], present.mean, atol=1e-5)
    np.testing.assert_allclose(recognizer.std[JOINTS:], present.std, atol=1e-5)
    inputs = recognizer.inputs(torch.from_numpy(both)).unflatten(2, (2 * JOINTS, 3))
    assert (inputs[::2, :, JOINTS:] == 0).all()
    assert np.isfinite(recognizer.read(both).logits).all()


def test_how_many_clips_are_read_at_once_changes_nothing(monkeypatch):
    recognizer = trained(*clips(), training=RecognizerTraining(steps=1))
    positions, _ = clips(9, seed=2)
    whole = recognizer.read(positions)
    monkeypatch.setattr("skelaug.workflows.evaluation_network._CHUNK", 4)
    np.testing.assert_allclose(recognizer.read(positions).features, whole.features, atol=1e-6)


def augmented(positions, training, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    return _augmented(torch.from_numpy(positions), training, numbers)


def test_without_strength_augmentation_changes_nothing():
    positions, _ = clips()
    np.testing.assert_allclose(augmented(positions, STILL), positions, atol=1e-6)


def test_turns_and_tilts_keep_every_distance_and_size_scales_them_within_its_bounds():
    positions, _ = clips(200)

    def spans(array):
        return np.linalg.norm(np.asarray(array)[:, :, 1:] - np.asarray(array)[:, :, :1], axis=-1)

    turning = RecognizerTraining(turn=1.0, tilt=0.5, size=0, crop=0, tempo=0)
    np.testing.assert_allclose(spans(augmented(positions, turning)), spans(positions), rtol=1e-5)
    sizing = RecognizerTraining(turn=0, tilt=0, size=0.1, crop=0, tempo=0)
    ratio = spans(augmented(positions, sizing)) / spans(positions)
    assert 0.9 * 0.95 < ratio.min() < 0.93
    assert 1.07 < ratio.max() < 1.1 * 1.05


def test_a_turn_is_about_the_vertical_by_at_most_its_angle():
    positions = np.zeros((300, 2, 2, 3), dtype=np.float32)
    positions[..., 1, :] = [1.0, 0.5, 0.0]
    found = augmented(positions, RecognizerTraining(turn=0.4, tilt=0, size=0, crop=0, tempo=0))
    angles = torch.atan2(-found[:, 0, 1, 2], found[:, 0, 1, 0])
    np.testing.assert_allclose(found[..., 1, 1], 0.5, atol=1e-6)
    assert 0.35 < angles.max() < 0.4
    assert -0.4 < angles.min() < -0.35


def test_tempo_keeps_the_ends_and_crop_cuts_them():
    ramp = np.linspace(0, 1, FRAMES, dtype=np.float32)[None, :, None, None]
    positions = np.broadcast_to(ramp, (200, FRAMES, 1, 3)).copy()
    warped = augmented(positions, RecognizerTraining(turn=0, tilt=0, size=0, crop=0, tempo=0.3))
    np.testing.assert_allclose(warped[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(warped[:, -1], 1, atol=1e-6)
    assert (warped.diff(dim=1) > 0).all()
    # bend at u: u + a sin(pi u) / pi with |a| <= 0.3 moves the middle by at most 0.3 / pi
    middle = np.asarray(warped[:, FRAMES // 2, 0, 0]) - float(ramp[0, FRAMES // 2, 0, 0])
    assert 0.08 < np.abs(middle).max() < 0.3 / np.pi
    cropped = augmented(positions, RecognizerTraining(turn=0, tilt=0, size=0, crop=0.2, tempo=0))
    assert 0.18 < cropped[:, 0].max() < 0.2
    assert 0.8 < cropped[:, -1].min() < 0.82


@pytest.mark.parametrize(("count", "steps"), [(64, 50), (6400, 1000)])
def test_many_clips_get_ten_epochs(count, steps):
    assert RecognizerTraining(steps=50).steps_for(count) == steps
