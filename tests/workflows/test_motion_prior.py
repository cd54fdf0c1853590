"""A trained prior comes back as it was, and what is none is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.imputation.typicality import DENSITIES
from skelaug.models import MOTION_PRIORS
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.motion_prior import load_prior, load_priors


def test_a_prior_knows_its_windows_its_training_clips_and_its_weights(make_prior):
    prior = load_prior(make_prior("run"))
    assert (prior.form.frames, prior.form.nodes, prior.form.layout.name) == (16, 60, "kinect_20")
    assert prior.checkpoint.kind == "hgvae"
    usual = {by: prior.usual(by) for by in DENSITIES}
    assert len({own.mean for own in usual.values()}) == len(DENSITIES) == 2
    for own in usual.values():
        assert own.clips == 24
        assert own.threshold == own.mean - own.std
    assert not prior.network.reads_mask
    x = torch.zeros(2, 60, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior.network.log_densities(x).posterior.sum(), x)
    assert np.abs(gradient.numpy()).max() > 0
    assert not any(w.requires_grad for w in prior.network.parameters())  # type: ignore[attr-defined]


def test_a_prior_lies_beside_other_weights_under_its_own_name(make_prior, make_model):
    folder = make_model("both")
    make_prior("both", file="hgvae")
    assert load_prior(folder).path == folder / "hgvae.safetensors"


def test_clips_must_have_its_joints_in_three_dimensions(make_prior):
    prior = load_prior(make_prior())
    prior.check_clips(get_layout("kinect_20"), 3, where="a.h5")
    with pytest.raises(
        DataError, match=r"a.h5: expected layout kinect_20 .* got ntu_25; .*--model"
    ):
        prior.check_clips(get_layout("ntu_25"), 3, where="a.h5")
    with pytest.raises(DataError, match=r"a.h5: expected 3 coordinates per joint, got 2"):
        prior.check_clips(get_layout("kinect_20"), 2, where="a.h5")


def test_what_is_no_prior_is_refused(make_prior, make_model, make_recognizer):
    with pytest.raises(NotFoundError, match="no motion prior; train one with `skelaug train hgvae"):
        load_prior(make_model())
    with pytest.raises(NotFoundError, match="no packaged model"):
        load_prior("nowhere")
    with pytest.raises(DataError, match=r"expected a motion prior \(hgvae.*, got compact"):
        load_prior(make_recognizer())
    with pytest.raises(UsageError, match="trained to draw labelled clips"):
        load_prior(make_prior("drawn", meta={"windows": None}))


def test_several_priors_are_of_different_kinds(make_prior):
    folders = [make_prior(kind, kind=kind) for kind in MOTION_PRIORS]
    assert [prior.kind for prior in load_priors(folders)] == list(MOTION_PRIORS)
    with pytest.raises(UsageError, match=r"got two of kind hgvae, .*hgvae and .*again; leave one"):
        load_priors([*folders, make_prior("again")])


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"joint": 1.0, "clips": 2},
        {"joint": {"mean": 1.0}, "clips": 2},
        {"joint": {"mean": "x", "std": 1}, "clips": 2},
        {"joint": {"mean": 1.0, "std": 0.0}, "clips": 1},
        {"joint": {"mean": 1.0, "std": 1.0}},
        {"mean": 1.0, "std": 1.0, "clips": 2},
    ],
)
def test_without_the_scores_of_its_training_clips_it_cannot_judge(make_prior, told):
    prior = load_prior(make_prior(meta={"typicality": told}))
    for by in DENSITIES:
        with pytest.raises(DataError, match=f"expected the log-{by} of its training clips"):
            prior.usual(by)
