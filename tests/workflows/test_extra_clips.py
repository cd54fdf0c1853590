"""Further clips in a training: who is refused, how batches are mixed, what copies amount to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skelaug.augment import AugmentationConfig
from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.splits import split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError
from skelaug.place import Place
from skelaug.skeleton.sequence import Source
from skelaug.workflows import train_recognizer
from skelaug.workflows.extra_clips import ExtraConfig, MixedMotions, extra_clips, extra_notes
from skelaug.workflows.train_recognizer import RecognizerLoss, TrainRecognizerConfig
from skelaug.workflows.training_clips import training_clips
from skelaug.workflows.training_motions import PreparationConfig, training_motions

HERE = Place(torch.device("cpu"))
PREPARATION = PreparationConfig(frames=16)


def written(path: Path, clips, classes, model: dict | None = None) -> Path:
    provenance = [{"command": "synth", "model": model}] if model else []
    schema = Schema(clips[0].layout, classes=tuple(classes), persons=1)
    write_sequences(path, clips, schema, provenance=provenance)
    return path


@pytest.fixture
def synthetic(tmp_path, make_sequence):
    clips = [
        make_sequence("wave", name=f"w{i}", seed=40 + i, source=Source.SYNTHETIC) for i in range(5)
    ]
    clips += [make_sequence("walk", name="x", seed=9, source=Source.SYNTHETIC)]
    return written(tmp_path / "synthetic.h5", clips, ("wave", "walk"))


def mixed_motions(data: Path, config: ExtraConfig, folder: Path) -> MixedMotions:
    clips = training_clips(data, split="subject=1,2")
    more = extra_clips(config, clips)

    def motions(which, name):
        return training_motions(which, PREPARATION, ["joint"], cache=folder / name, place=HERE)

    return MixedMotions(motions(clips, "a.h5"), motions(more, "b.h5") if more else None, config)


def test_a_pool_shows_every_clip_once_an_epoch(data_file, synthetic, tmp_path):
    motions = mixed_motions(data_file, ExtraConfig(file=synthetic), tmp_path)
    own, extra = len(motions.own), 6
    seen = []
    for step in range(own + extra):
        ours, theirs = motions._drawn(own, extra, batch=4, seed=0, step=step)
        seen += [*ours, *(own + theirs)]
    np.testing.assert_array_equal(np.bincount(seen), 4)


def test_a_share_of_every_batch_is_theirs_with_their_labels(data_file, synthetic, tmp_path):
    config = ExtraConfig(file=synthetic, only="", share=0.25, weight=0.5)
    motions = mixed_motions(data_file, config, tmp_path)
    x, labels, weights = motions.batch(AugmentationConfig(), batch=8, seed=0, step=3)
    assert x.shape[0] == labels.shape[0] == 8
    assert weights.tolist() == [1.0] * 6 + [0.5] * 2
    classes = motions.clips.classes
    with SequenceFile(synthetic) as file:
        theirs = motions._drawn(len(motions.own), 6, batch=8, seed=0, step=3)[1]
        assert [classes[i] for i in labels[6:]] == [file.label_name(int(i)) for i in theirs]
    again = motions.batch(AugmentationConfig(), batch=8, seed=0, step=3)
    assert torch.equal(x, again[0])


def test_two_parts_of_equal_size_are_gone_through_in_orders_of_their_own(
    data_file, synthetic, tmp_path
):
    motions = mixed_motions(data_file, ExtraConfig(file=synthetic, share=0.5), tmp_path)
    drawn = [motions._drawn(6, 6, batch=12, seed=0, step=step) for step in range(4)]
    assert all(sorted(ours) == sorted(theirs) == list(range(6)) for ours, theirs in drawn)
    assert any((ours != theirs).any() for ours, theirs in drawn)


def test_without_further_clips_batches_are_those_of_the_data(data_file, tmp_path):
    motions = mixed_motions(data_file, ExtraConfig(), tmp_path)
    x, _, weights = motions.batch(AugmentationConfig(), batch=5, seed=1, step=0)
    assert len(x) == 5
    assert (weights == 1).all()


def test_weighted_clips_count_as_their_weight():
    logits = torch.randn(4, 3, dtype=torch.float64)
    labels, weights = torch.tensor([0, 2, 1, 1]), torch.tensor([1.0, 1.0, 0.0, 0.5]).double()
    loss = RecognizerLoss()(lambda _: logits, logits, labels, weights)["loss"]
    each = -logits.log_softmax(dim=1)[torch.arange(4), labels]
    torch.testing.assert_close(loss, (each[0] + each[1] + 0.5 * each[3]) / 4)


def test_copies_of_the_data_weigh_like_a_second_pass(data_file, tmp_path):
    """A generator that copies what it saw is the same as seeing it twice as often."""
    with SequenceFile(data_file) as file:
        rows = np.flatnonzero(np.isin(file.subjects, [1, 2]))
        copies = written(tmp_path / "copies.h5", [file[int(i)] for i in rows], file.classes)
    motions = mixed_motions(data_file, ExtraConfig(file=copies), tmp_path)
    count = len(motions.own)
    plain = AugmentationConfig()
    for number in range(count):
        ours, _ = motions.own.batch(np.array([number]), plain, seed=0, step=0)
        theirs, _ = motions.extra.batch(np.array([number]), plain, seed=0, step=0)
        assert torch.equal(ours, theirs)


def test_a_training_says_what_took_part(data_file, synthetic, tmp_path):
    settings = {
        "model": {"name": "compact", "arguments": {"widths": [8, 16]}},
        "optimisation": {"steps": 3, "batch": 8},
        "extra": {"file": synthetic, "only": "", "share": 0.5},
    }
    flags = {"data": data_file, "out": tmp_path / "run", "split": "subject=1,2"}
    config = load(TrainRecognizerConfig, preset=settings, flags=flags)
    report = train_recognizer.run(config, device="cpu")
    told = load_checkpoint(tmp_path / "run" / "model.safetensors").meta["extra"]
    assert (told["name"], told["clips"], told["share"]) == ("synthetic.h5", 6, 0.5)
    assert not (tmp_path / "run" / "extra.h5").exists()
    table = report.scores["confusion"]
    assert np.sum(table["counts"]) == report.scores["clips"]
    right = sum(
        table["counts"][i][table["classes"].index(c)] for i, c in enumerate(table["truths"])
    )
    assert right / report.scores["clips"] == pytest.approx(report.scores["accuracy"])


def refused(data, path, **options):
    with pytest.raises(DataError) as caught:
        extra_clips(ExtraConfig(file=path, **options), training_clips(data, split="subject=1,2"))
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_strange_clips_are_refused(data_file, tmp_path, make_sequence):
    other = [make_sequence("dance", name="d")]
    assert "'dance'" in refused(data_file, written(tmp_path / "a.h5", other, ("dance",)))
    joints = [make_sequence("walk", name="d", layout="ntu_25")]
    message = refused(data_file, written(tmp_path / "b.h5", joints, ("walk",)))
    assert "kinect_20" in message
    assert "ntu_25" in message
    unknown = [make_sequence("", name="d")]
    assert "without a label" in refused(data_file, written(tmp_path / "c.h5", unknown, ("walk",)))


def model_of(data: Path, names, subjects) -> dict:
    with SequenceFile(data) as file:
        return {
            "split": {"rule": "name=list.txt", "hash": split_hash(names)},
            "subjects": subjects,
            "data": {"names": split_hash(file.names)},
        }


def test_a_generator_that_saw_the_test_part_is_refused(data_file, tmp_path, make_sequence):
    clips = [make_sequence("walk", name="s", source=Source.SYNTHETIC)]
    with SequenceFile(data_file) as file:
        everything = file.names
    path = written(tmp_path / "a.h5", clips, ("walk",), model_of(data_file, everything, [1, 2, 3]))
    assert "trained on 8 of them" in refused(data_file, path)
    some = written(tmp_path / "b.h5", clips, ("walk",), model_of(data_file, everything[:3], [2, 3]))
    assert "performers of the test part: 3" in refused(data_file, some)
    fine = written(tmp_path / "c.h5", clips, ("walk",), model_of(data_file, everything[:3], [1, 2]))
    own = training_clips(data_file, split="subject=1,2")
    assert extra_clips(ExtraConfig(file=fine), own) is not None
    assert extra_notes(ExtraConfig(file=fine), own) == []


def test_a_guide_that_saw_the_test_part_is_refused_like_a_generator(
    data_file, tmp_path, make_sequence
):
    clips = [make_sequence("walk", name="s", source=Source.SYNTHETIC)]
    with SequenceFile(data_file) as file:
        fine = model_of(data_file, file.names[:3], [1, 2])
        leaky = model_of(data_file, file.names, [1, 2, 3])
    schema = Schema(clips[0].layout, classes=("walk",))
    record = {"command": "synth", "model": fine, "guide": leaky}
    write_sequences(tmp_path / "a.h5", clips, schema, provenance=[record])
    assert "trained on 8 of them" in refused(data_file, tmp_path / "a.h5")


def test_what_cannot_be_checked_is_said(data_file, tmp_path, make_sequence):
    """Nothing recorded; and training clips that neither their names nor performers tell."""
    clips = [make_sequence("walk", name="s", source=Source.SYNTHETIC)]
    blank = ExtraConfig(file=written(tmp_path / "a.h5", clips, ("walk",)))
    own = training_clips(data_file, split="subject=1,2")
    assert "a.h5 does not say" in extra_notes(blank, own)[0]
    with SequenceFile(data_file) as file:
        names = file.names
    (tmp_path / "half.txt").write_text("\n".join(names[::2]))
    half = training_clips(data_file, split=f"name={tmp_path / 'half.txt'}")
    model = model_of(data_file, names[:3], [1, 2])
    unknown = ExtraConfig(file=written(tmp_path / "b.h5", clips, ("walk",), model))
    assert extra_clips(unknown, half) is not None
    assert "unknown clips of data.h5" in extra_notes(unknown, half)[0]


def test_copies_of_test_clips_are_refused(data_file, tmp_path):
    assert "got 8 copies of its clips" in refused(data_file, data_file)
    own = training_clips(data_file, split="subject=1,2")
    assert extra_clips(ExtraConfig(file=data_file, only="subject=1,2"), own) is not None
