import numpy as np
import pytest

from skelaug.metrics.spectrum import frequency_energy

RNG = np.random.default_rng(3)
ROOTS = np.array([1, 1, 1, 4, 4])  # two bodies


def test_the_energies_add_up_to_the_square_of_the_coordinates():
    positions = RNG.normal(size=(2, 9, 5, 3))
    relative = (positions - positions[:, :, ROOTS])[:, :, [0, 2, 3]]
    expected = (relative**2).mean(axis=(2, 3)).sum(axis=1)
    np.testing.assert_allclose(frequency_energy(positions, ROOTS).sum(axis=1), expected)


def test_half_waves_are_counted_and_a_pose_that_is_held_has_frequency_0_alone():
    frames = 12
    phase = (np.arange(frames) + 0.5) / frames
    positions = np.zeros((1, frames, 2, 3))
    positions[0, :, 1, 0] = 0.3 + 0.2 * np.cos(5 * np.pi * phase)
    energy = frequency_energy(positions, np.array([0, 0]))[0]
    expected = np.zeros(frames)
    expected[0], expected[5] = frames * 0.3**2 / 3, frames / 2 * 0.2**2 / 3
    np.testing.assert_allclose(energy, expected, atol=1e-15)


def test_where_the_body_goes_does_not_matter_and_size_counts_twice():
    positions = RNG.normal(size=(2, 9, 5, 3))
    walk = RNG.normal(size=(2, 9, 1, 3))
    found = frequency_energy(positions, ROOTS)
    np.testing.assert_allclose(frequency_energy(positions + walk, ROOTS), found)
    np.testing.assert_allclose(frequency_energy(3 * positions, ROOTS), 9 * found)


def test_a_moving_mean_of_five_frames_damps_k_half_waves_as_filters_do():
    """By sin(5 u) / (5 sin u) with u = pi k / 2 T; the ends are mirrored."""
    positions = RNG.normal(size=(2, 24, 5, 3))
    padded = np.pad(positions, ((0, 0), (2, 2), (0, 0), (0, 0)), mode="symmetric")
    smooth = sum(padded[:, i : i + 24] for i in range(5)) / 5
    u = np.pi * np.arange(1, 24) / 48
    damping = np.array([1.0, *(np.sin(5 * u) / (5 * np.sin(u))) ** 2])
    found = frequency_energy(smooth, ROOTS) / frequency_energy(positions, ROOTS)
    np.testing.assert_allclose(found, np.broadcast_to(damping, found.shape), atol=1e-9)


def test_an_absent_person_counts_nowhere():
    positions = RNG.normal(size=(3, 9, 5, 3))
    alone = frequency_energy(positions[:, :, :3], ROOTS[:3])
    positions[0, :, 3:] = np.nan
    positions[1] = np.nan
    found = frequency_energy(positions, ROOTS)
    np.testing.assert_allclose(found[0], alone[0])
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[2]).all()


def test_roots_of_another_body_are_refused():
    with pytest.raises(ValueError, match="roots: expected V with V = 4, got 5"):
        frequency_energy(np.zeros((1, 3, 4, 3)), ROOTS)
