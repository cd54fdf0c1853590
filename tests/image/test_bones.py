import numpy as np
import pytest
import torch

from skelaug.image.bones import BoneLengths
from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import fit_normalizer
from skelaug.skeleton.geometry import bone_lengths
from skelaug.skeleton.layouts import get_layout


@pytest.mark.parametrize("persons", [1, 2])
def test_lengths_are_those_of_the_clip(make_sequence, persons: int) -> None:
    layout = get_layout("kinect_20")
    codec = ImageCodec(layout, frames=24, persons=persons, scale=3.0)
    clips = [make_sequence("walk", frames=24, persons=persons, seed=seed) for seed in range(4)]
    pixels = np.stack([codec.encode(clip).pixels for clip in clips])
    normalizer = fit_normalizer(pixels, range(4))
    lengths = BoneLengths(codec, normalizer)(torch.from_numpy(normalizer.normalize(pixels)))
    unit = codec.scale * np.mean(normalizer.std)
    for clip, found in zip(clips, lengths.numpy() * unit, strict=True):
        wanted = bone_lengths(clip.positions, layout)  # T M B
        wanted = wanted.transpose(1, 2, 0).reshape(found.shape)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_the_path_of_the_root_does_not_count_and_derivatives_are_finite() -> None:
    codec = ImageCodec(get_layout("kinect_20"), frames=8)
    pixels = np.random.default_rng(0).normal(size=(3, *codec.shape)).astype(np.float32)
    bones = BoneLengths(codec, fit_normalizer(pixels, range(3)))
    images = torch.zeros(2, *codec.shape, requires_grad=True)
    bones(images).sum().backward()
    assert images.grad is not None
    assert bool(torch.isfinite(images.grad).all())
    assert bool((images.grad[:, :, 0] == 0).all())
