"""What a packed prior says of its training clips is what the packed weights say."""

from __future__ import annotations

import pytest
import torch

from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.imputation.typicality import DENSITIES, log_densities
from skelaug.workflows.file_gaps import tracks_of
from skelaug.workflows.motion_prior import load_prior
from skelaug.workflows.packed_prior import pack_prior
from skelaug.workflows.train_hgvae import TrainHgvaeConfig, run

TINY = {
    "model": {"arguments": {"level_nodes": [12, 1], "level_features": [4, 8], "width": 8}},
    "windows": {"frames": 10},
    "optimisation": {"steps": 2, "batch": 8},
    "labelled": "subject=1",
}


@pytest.fixture
def trained(data_file, tmp_path):
    flags = {"data": data_file, "out": tmp_path / "run", "split": "subject=1,2"}
    run(load(TrainHgvaeConfig, preset=TINY, flags=flags), device="cpu")
    return tmp_path / "run"


def test_the_scores_of_the_training_clips_are_those_of_the_packed_weights(
    trained, data_file, tmp_path
):
    packed = pack_prior(trained, data_file, tmp_path / "packed.safetensors")
    before = load_checkpoint(trained / "model.safetensors")
    for name, weight in before.weights.items():
        torch.testing.assert_close(packed.weights[name], weight.half().float(), rtol=0, atol=0)
    prior = load_prior(tmp_path / "packed.safetensors")
    with SequenceFile(data_file) as file:
        clips = [file[row] for row in range(len(file)) if file.subjects[row] in (1, 2)]
    scores = log_densities(prior.network, prior.form, [tracks_of(c, 0.0)[0] for c in clips])
    for by in DENSITIES:
        own, usual = getattr(scores, by), prior.usual(by)
        assert (usual.mean, usual.std) == pytest.approx((own.mean(), own.std()), rel=1e-6)
        assert usual.mean != before.meta["typicality"][by]["mean"]
    assert {**packed.meta, "typicality": None} == {**before.meta, "typicality": None}
    assert sum(packed.meta["clips"].values()) + packed.meta["unlabelled"] == 16


def test_other_data_is_refused(trained, write_file, labelled_clips, tmp_path):
    other = write_file(tmp_path / "other.h5", labelled_clips(fps=25.0))
    with pytest.raises(DataError, match=r"other.h5: expected the file with SHA-256"):
        pack_prior(trained, other, tmp_path / "packed.safetensors")
    assert not (tmp_path / "packed.safetensors").exists()
