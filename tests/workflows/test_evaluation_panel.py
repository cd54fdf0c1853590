import numpy as np
import pytest

from skelaug.checkpoint import Checkpoint, save_checkpoint
from skelaug.errors import DataError, NotFoundError
from skelaug.skeleton.layouts import get_layout
from skelaug.workflows.evaluation_clips import PreparedClips
from skelaug.workflows.evaluation_network import RecognizerTraining
from skelaug.workflows.evaluation_panel import (
    assigned_folds,
    load_panel,
    save_panel,
    train_panel,
)

LAYOUT = get_layout("sbu_15")
NAMES = [f"clip {i}" for i in range(40)]
LABELS = np.repeat(np.arange(4), 10)


def noise(count=40, classes=2):
    """Clips whose labels mean nothing: they can only be learnt by heart."""
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(count, 6, LAYOUT.num_joints, 3)).astype(np.float32)
    return PreparedClips(positions, np.arange(count, dtype=np.int64) % classes)


def test_folds_share_every_class_evenly():
    folds = assigned_folds(LABELS, NAMES)
    for label in range(4):
        assert np.bincount(folds[label == LABELS]).tolist() == [5, 5]


def test_the_fold_of_a_clip_depends_on_the_names_of_its_class_alone():
    folds = dict(zip(NAMES, assigned_folds(LABELS, NAMES), strict=True))
    order = np.random.default_rng(0).permutation(40)
    shuffled = assigned_folds(LABELS[order], [NAMES[i] for i in order])
    assert dict(zip([NAMES[i] for i in order], shuffled, strict=True)) == folds
    two = np.flatnonzero(LABELS < 2)
    part = assigned_folds(LABELS[two], [NAMES[i] for i in two])
    assert part.tolist() == [folds[NAMES[i]] for i in two]


def test_odd_classes_do_not_all_favour_one_fold():
    folds = assigned_folds(np.repeat(np.arange(8), 3), [str(i) for i in range(24)])
    assert np.bincount(folds).tolist() == [12, 12]


def test_a_member_knows_the_other_folds_by_heart_and_its_own_not_at_all():
    clips = noise()
    still = RecognizerTraining(steps=40, batch=20, lr=1e-2, turn=0, tilt=0, size=0, crop=0, tempo=0)
    panel = train_panel(clips, layout=LAYOUT, training=still)
    folds = panel.folds(clips)
    for fold, member in enumerate(panel.members):
        right = member.read(clips.positions).predictions == clips.labels
        assert right[folds != fold].mean() > 0.95
        assert 0.1 < right[folds == fold].mean() < 0.9  # chance


def test_a_panel_comes_back_from_its_file(tmp_path):
    clips = noise()
    panel = train_panel(clips, layout=LAYOUT, training=RecognizerTraining(steps=2))
    path = tmp_path / "panel.safetensors"
    save_panel(path, panel, LAYOUT, classes=("a", "b"), meta={"split": {"rule": "official"}})
    loaded, checkpoint = load_panel(path)
    assert checkpoint.classes == ("a", "b")
    assert checkpoint.meta["split"] == {"rule": "official"}
    assert checkpoint.layout == LAYOUT
    for before, after in zip(panel.members, loaded.members, strict=True):
        expected, found = before.read(clips.positions), after.read(clips.positions)
        np.testing.assert_array_equal(found.logits, expected.logits)
        np.testing.assert_array_equal(found.features, expected.features)
        assert not after.network.training
    assert loaded.accuracy(clips) == panel.accuracy(clips)


def test_half_precision_halves_the_file_and_hardly_moves_the_features(tmp_path):
    clips = noise()
    panel = train_panel(clips, layout=LAYOUT, training=RecognizerTraining(steps=2))
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_panel(whole, panel, LAYOUT, classes=("a", "b"), meta={})
    save_panel(half, panel, LAYOUT, classes=("a", "b"), meta={}, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    found = load_panel(half)[0].members[0].read(clips.positions).features
    expected = panel.members[0].read(clips.positions).features
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(NotFoundError):
        load_panel(path)
    save_checkpoint(path, Checkpoint("diffusion/unet", {}, {}, LAYOUT, ("a",)))
    with pytest.raises(DataError, match="expected a evaluation model"):
        load_panel(path)
    save_checkpoint(path, Checkpoint("evaluation/gru", {}, {}, LAYOUT, ("a",), {"folds": 2}))
    with pytest.raises(DataError, match="recognizers for evaluation"):
        load_panel(path)
