import subprocess
import sys

import numpy as np
import pytest
import torch

from skelaug.seeds import Stream, generator, numpy_generator


def draw(*address):
    return torch.rand(4, generator=generator(*address))


def test_the_same_address_gives_the_same_numbers():
    assert torch.equal(draw(1, Stream.SAMPLE, 5), draw(1, Stream.SAMPLE, 5))
    first, second = (numpy_generator(1, Stream.SAMPLE, 5).random(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("draw_from", [draw, lambda *a: numpy_generator(*a).random(4)])
def test_different_addresses_give_different_numbers(draw_from):
    addresses = [
        (seed, stream, *index)
        for seed in (0, 1, 2**32, 2**32 + 1)
        for stream in Stream
        for index in ((), (0,), (1,), (2,), (0, 0), (0, 1), (1, 0))
    ]
    numbers = {tuple(np.asarray(draw_from(*address)).tolist()) for address in addresses}
    assert len(numbers) == len(addresses) == 28 * len(Stream)


def test_streams_are_numbered_once_and_for_all():
    """The numbers are part of every result that was drawn: they may grow, not change."""
    assert Stream.SAMPLE == 1
    assert Stream.DURATION == 9
    assert len({int(stream) for stream in Stream}) == len(Stream)


def test_torch_streams_are_seeded_by_numpys_seed_sequence():
    word = np.random.SeedSequence(7, spawn_key=(1, 3)).generate_state(1, np.uint64)[0]
    expected = torch.rand(4, generator=torch.Generator().manual_seed(int(word)))
    assert torch.equal(draw(7, Stream.SAMPLE, 3), expected)


def test_global_generators_are_left_alone():
    torch_before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw(3, Stream.TRAIN_BATCH)
    numpy_generator(3, Stream.TRAIN_BATCH).random(4)
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_importing_seeds_does_not_load_torch():
    code = (
        "import sys, skelaug.seeds; skelaug.seeds.numpy_generator(0); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.strip() == "False"
