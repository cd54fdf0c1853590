"""From HumanEva's 2D poses to 3D ones and to refined ones, with networks of a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.workflows import convert, lift, refine, train_lifter, train_refiner
from skelaug.workflows.convert import ConvertConfig
from skelaug.workflows.lift_report import LiftConfig
from skelaug.workflows.refinement_report import RefineConfig

pytestmark = [pytest.mark.data, pytest.mark.slow]

SMALL = {"features": 32, "depth": 1, "heads": 4}


@pytest.fixture
def lifted(shared_data: Path, tmp_path: Path, write_file) -> tuple[Path, Path]:
    """The clips of one camera, and what a small lifter makes of them."""
    folder = tmp_path
    truth, noisy = folder / "truth.h5", folder / "noisy.h5"
    source = shared_data / "humaneva15" / "humaneva15.npz"
    convert.run(ConvertConfig(sources=(source,), out=folder / "all.h5"))
    with SequenceFile(folder / "all.h5") as file:
        write_file(truth, [clip for clip in file if clip.camera == 1], has_keypoints=True)
    settings = {
        "data": truth,
        "out": folder / "lifter",
        "split": "subject=2,3",
        "model": {"name": "stcformer", "arguments": SMALL},
        "optimisation": {"steps": 60, "warmup": 10},
    }
    config = load(
        train_lifter.TrainLifterConfig, preset=train_lifter.PRESETS["cpu"], flags=settings
    )
    assert train_lifter.run(config, device="cpu").scores["mpjpe_mm"] < 300
    lift.run(LiftConfig(data=truth, out=noisy, model=str(folder / "lifter")), device="cpu")
    return truth, noisy


def test_a_refiner_of_the_lifter_reads_the_2d_poses_and_corrects_every_clip(
    lifted, tmp_path
) -> None:
    truth, noisy = lifted
    with SequenceFile(truth) as before, SequenceFile(noisy) as after:
        assert after.names == before.names
        assert (after.has_keypoints, after.layout.name) == (True, "humaneva_15")
        assert not any(clip.positions[:, :, clip.layout.root].any() for clip in after)
    settings = {
        "data": truth,
        "noisy": noisy,
        "out": tmp_path / "refiner",
        "model": {"name": "pose-denoiser", "arguments": SMALL},
        "optimisation": {"steps": 20, "warmup": 2, "batch": 8},
    }
    presets = train_refiner.PRESETS["cpu"]
    config = load(train_refiner.TrainRefinerConfig, preset=presets, flags=settings)
    train_refiner.run(config, device="cpu")
    told = {"data": noisy, "truth": truth, "model": str(tmp_path / "refiner")}
    linear, network = (
        refine.run(RefineConfig(out=tmp_path / f"{name}.h5", method=name, **told), device="cpu")
        for name in ("linear-corrector", "diffusion")
    )
    # the least squares fit to these very clips
    assert linear.errors[-1].mpjpe.after < 0.8 * linear.errors[-1].mpjpe.before
    assert network.rejected == []
    assert network.errors[-1].mpjpe.after < network.errors[-1].mpjpe.before
