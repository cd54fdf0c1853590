"""Predictions: what is written is what the models say, whatever the batch, the order, the file."""

from __future__ import annotations

import contextlib
import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from skelaug.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from skelaug.data.splits import split_clips
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.workflows.predict import PredictConfig, run
from skelaug.workflows.recognizer import load_recognizer

CLASSES = ("kick forward", "walk", "wave", "sit [slow]")


def predictions(data, *models, **settings):
    """The answers of a run by name (and first frame), and its report."""
    report = run(PredictConfig(data=data, models=tuple(map(str, models)), **settings))
    keys = [(one["name"], one.get("start_frame", 0)) for one in report.predictions]
    return dict(zip(keys, report.predictions, strict=True)), report


def table(answers, classes=CLASSES):
    """Probabilities N K of answers by name."""
    return np.array([[one["probabilities"][c] for c in classes] for one in answers.values()])


def test_every_clip_gets_the_class_of_the_largest_logit(make_recognizer, data_file):
    folder = make_recognizer()
    found, report = predictions(data_file, folder)
    with SequenceFile(data_file) as file:
        logits = load_recognizer(folder).logits(file)
        assert [name for name, _ in found] == file.names
        assert [one["truth"] for one in found.values()] == [clip.label for clip in file]
    np.testing.assert_allclose(table(found), softmax(logits, axis=1), atol=1e-6)
    for one, row in zip(found.values(), logits, strict=True):
        assert one["label"] == CLASSES[row.argmax()]
        assert one["probability"] == max(one["probabilities"].values())
        assert next(iter(one["probabilities"])) == one["label"]
    right = np.mean([one["truth"] == one["label"] for one in found.values()])
    assert report.accuracy == report.known_accuracy == pytest.approx(right)
    assert (report.clips, report.windows, report.rejected) == (24, None, [])
    assert (report.chance.uniform, report.chance.majority) == (0.25, 0.25)
    assert report.classes == list(CLASSES)
    assert report.clips_per_second > 0


def test_batches_and_the_order_of_clips_change_nothing(
    make_recognizer, labelled_clips, write_file, tmp_path
):
    folder, clips = make_recognizer(), labelled_clips(missing=0.02)
    data = write_file(tmp_path / "a.h5", clips)
    turned = write_file(tmp_path / "b.h5", clips[::-1])
    expected, _ = predictions(data, folder)
    for other, settings in ((data, {"batch": 1}), (data, {"batch": 7}), (turned, {})):
        found, report = predictions(other, folder, **settings)
        assert report.clips == 24
        for key, one in expected.items():
            assert found[key]["label"] == one["label"]
            assert found[key]["probabilities"] == pytest.approx(one["probabilities"], abs=2e-6)


def test_lines_and_columns_say_the_same(make_recognizer, data_file, tmp_path):
    folder = make_recognizer()
    expected, _ = predictions(data_file, folder)
    lines, rows = tmp_path / "out.jsonl", tmp_path / "out.csv"
    for out in (lines, rows):
        config = PredictConfig(data=data_file, models=(str(folder),), out=out)
        report = run(config)
        assert report.predictions is None
        assert (report.output, report.clips) == (str(out), 24)
        record = json.loads(out.with_name(f"{out.name}.run.json").read_text())
        assert set(record["inputs"]) == {"data.h5", "model.safetensors"}
        with pytest.raises(UsageError, match="--force"):
            run(config)
        run(config, force=True)
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [*expected.values()]
    for row, one in zip(
        csv.DictReader(rows.read_text().splitlines()), expected.values(), strict=True
    ):
        assert (row["name"], row["label"], row["truth"]) == (
            one["name"],
            one["label"],
            one["truth"],
        )
        assert {c: float(row[c]) for c in CLASSES} == one["probabilities"]


def test_lines_are_handed_over_as_they_are_computed(make_recognizer, data_file):
    pieces = []
    config = PredictConfig(data=data_file, models=(str(make_recognizer()),), batch=5, format="csv")
    report = run(config, write=pieces.append)
    assert report.predictions is None
    assert pieces[0].startswith("name,label,probability,truth,kick forward,")
    assert [piece.count("\n") for piece in pieces[1:]] == [5, 5, 5, 5, 4]


def test_only_the_most_probable_classes_are_written_when_few_are_wanted(make_recognizer, data_file):
    folder = make_recognizer()
    expected, _ = predictions(data_file, folder)
    found, _ = predictions(data_file, folder, top=2)
    for key, one in expected.items():
        assert [*found[key]["probabilities"].items()] == [*one["probabilities"].items()][:2]


def test_windows_cover_a_clip_and_are_answered_like_clips_cut_to_them(
    make_recognizer, make_sequence, write_file, tmp_path
):
    folder = make_recognizer()
    clip, short = make_sequence(frames=50, fps=20.0, missing=0.05), make_sequence(frames=7)
    data = write_file(tmp_path / "long.h5", [clip, short.replaced(name="short")])
    found, report = predictions(data, folder, window=16, stride=10)
    starts = [0, 10, 20, 30, 34]
    assert [*found] == [*((clip.name, start) for start in starts), ("short", 0)]
    assert (report.clips, report.windows) == (2, 6)
    cuts = [
        clip.replaced(
            name=f"cut {a}",
            positions=clip.positions[a : a + 16],
            observed=clip.observed[a : a + 16],
        )
        for a in starts
    ]
    alone, _ = predictions(write_file(tmp_path / "cuts.h5", cuts), folder)
    for start, cut in zip(starts, cuts, strict=True):
        one = found[clip.name, start]
        assert one["probabilities"] == pytest.approx(alone[cut.name, 0]["probabilities"], abs=2e-6)
        assert (one["end_frame"], one["start_seconds"]) == (start + 16, start / 20)
        assert one["end_seconds"] == (start + 16) / 20
    assert found["short", 0]["end_frame"] == 7


def test_logits_are_fused_with_the_weights_of_their_streams(make_recognizer, data_file):
    streams = ("bone_motion", "joint", "joint_motion", "bone")
    models = [make_recognizer(name, streams=(name,), seed=k) for k, name in enumerate(streams)]
    with SequenceFile(data_file) as file:
        logits = np.stack([load_recognizer(model).logits(file) for model in models])
    found, report = predictions(data_file, *models)
    assert [one.weight for one in report.models] == [0.4, 0.6, 0.4, 0.6]
    assert [one.streams for one in report.models] == [[name] for name in streams]
    for weights, answers in (
        ([0.4, 0.6, 0.4, 0.6], found),
        ([0, 3, 0, 1], predictions(data_file, *models, weights=(0, 3, 0, 1))[0]),
    ):
        mean = np.average(logits, axis=0, weights=weights)
        np.testing.assert_allclose(table(answers), softmax(mean, axis=1), atol=2e-6)


def test_classes_are_fused_by_name_whatever_their_order(make_recognizer, data_file):
    folder = make_recognizer()
    mine = load_checkpoint(folder / "model.safetensors")
    order = [2, 0, 3, 1]
    weights = {
        name: weight[order] if name.startswith("classify") else weight
        for name, weight in mine.weights.items()
    }
    classes = tuple(CLASSES[k] for k in order)
    other = Checkpoint(mine.kind, mine.arguments, weights, mine.layout, classes, mine.meta)
    save_checkpoint(folder.with_name("turned.safetensors"), other)
    alone, _ = predictions(data_file, folder)
    both, report = predictions(data_file, folder, folder.with_name("turned.safetensors"))
    np.testing.assert_allclose(table(both), table(alone), atol=2e-6)
    assert report.classes == list(CLASSES)


def test_a_clip_without_a_joint_is_listed_and_the_others_go_on(
    make_recognizer, labelled_clips, make_sequence, write_file, tmp_path
):
    empty = make_sequence(name="empty", missing=1.0)
    data = write_file(tmp_path / "some.h5", [*labelled_clips()[:3], empty, *labelled_clips()[3:5]])
    found, report = predictions(data, make_recognizer())
    assert (len(found), report.clips) == (5, 5)
    assert [one.name for one in report.rejected] == ["empty"]
    assert "measured joint" in report.rejected[0].reason
    only = write_file(tmp_path / "none.h5", [empty])
    out = tmp_path / "none.jsonl"
    with pytest.raises(DataError, match=r"none.h5: expected clips .* none of 1; .*'empty'"):
        run(PredictConfig(data=only, models=(str(make_recognizer()),), out=out))
    assert not out.exists()


def test_a_class_that_the_model_lacks_is_reported_and_never_right(
    make_recognizer, data_file, tmp_path
):
    known = ("wave", "jump", "walk")
    picture = tmp_path / "confusion.png"
    found, report = predictions(data_file, make_recognizer(classes=known), confusion=picture)
    assert report.unknown_classes == ["kick forward", "sit [slow]"]
    assert "12 labelled answers" in report.warnings[0]
    right = [one["truth"] == one["label"] for one in found.values()]
    assert report.accuracy == pytest.approx(np.mean(right))
    assert report.known_accuracy == pytest.approx(2 * np.mean(right))
    by_class = {row.label: row.accuracy for row in report.class_accuracy}
    assert set(by_class) == set(CLASSES)
    assert by_class["kick forward"] == by_class["sit [slow]"] == 0
    with Image.open(picture) as image:
        assert min(image.size) > 200


def test_clips_that_the_model_was_trained_on_are_told_apart(make_recognizer, data_file):
    with SequenceFile(data_file) as file:
        split = split_clips(file, "subject=1,2")
    trained = make_recognizer(meta={"split": {"rule": split.rule, "hash": split.hash}})
    found, report = predictions(data_file, trained)
    answers = [*found.values()]
    unseen = [answers[row]["truth"] == answers[row]["label"] for row in split.test]
    assert report.training_clips == len(split.train) == 16
    assert report.unseen_accuracy == pytest.approx(np.mean(unseen))
    _, report = predictions(data_file, trained, split="subject=1,2")
    assert (report.training_clips, report.unseen_accuracy) == (0, None)
    assert report.accuracy == pytest.approx(np.mean(unseen))


def test_without_labels_there_is_no_truth_and_no_accuracy(
    make_recognizer, make_sequence, write_file, tmp_path
):
    data = write_file(tmp_path / "new.h5", [make_sequence(label="")], classes=("walk",))
    folder = make_recognizer()
    found, report = predictions(data, folder)
    assert "truth" not in next(iter(found.values()))
    assert (report.accuracy, report.chance, report.class_accuracy) == (None, None, [])
    with pytest.raises(UsageError, match="--confusion: expected labels"):
        predictions(data, folder, confusion=tmp_path / "a.png")


def test_a_dry_run_counts_and_writes_nothing(make_recognizer, data_file, tmp_path):
    out = tmp_path / "out" / "a.jsonl"
    config = PredictConfig(data=data_file, models=(str(make_recognizer()),), out=out, window=8)
    report = run(config, dry_run=True)
    assert (report.clips, report.accuracy, report.dry_run) == (24, None, True)
    done = run(config)
    assert (report.clips, report.windows) == (done.clips, done.windows)
    assert out.exists()


def test_an_interrupted_command_leaves_nothing(make_recognizer, data_file, tmp_path):
    @contextlib.contextmanager
    def pulled(*_, **__):
        def advance(*_, **__):
            raise KeyboardInterrupt

        yield advance

    out = tmp_path / "out" / "a.csv"
    config = PredictConfig(data=data_file, models=(str(make_recognizer()),), out=out, batch=4)
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=pulled)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 4}, "--stride 4: expected a window too"),
        ({"window": 4, "stride": 5}, "at most the window of 4 frames"),
        ({"weights": (1, 2)}, "expected 1 numbers, one for each --model, got 2"),
        ({"weights": (0,)}, "expected one above 0"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    make_recognizer, data_file, settings, message
):
    with pytest.raises(UsageError, match=message):
        predictions(data_file, make_recognizer(), **settings)


def test_files_and_models_that_do_not_fit_are_named(
    make_recognizer, data_file, make_sequence, write_file, tmp_path
):
    folder = make_recognizer()
    ntu = write_file(tmp_path / "ntu.h5", [make_sequence(layout="ntu_25")])
    with pytest.raises(DataError, match=r"ntu.h5: expected layout kinect_20 .*, got ntu_25"):
        predictions(ntu, folder)
    fewer = make_recognizer("fewer", classes=CLASSES[:3])
    with pytest.raises(DataError, match=r"fewer: expected the 4 classes .*, got 3 with no class"):
        predictions(data_file, folder, fewer)
    with pytest.raises(DataError, match=r"got 4 with a class 'sit \[slow\]' more"):
        predictions(data_file, fewer, folder)
    with pytest.raises(NotFoundError, match=r"missing\.h5"):
        predictions(tmp_path / "missing.h5", folder)
    with pytest.raises(UsageError, match="is an input"):
        predictions(data_file, folder, out=data_file)
    none = write_file(tmp_path / "none.h5", [make_sequence()])
    with SequenceFile(none) as file:
        layout = file.layout
    write_sequences(none, [], Schema(layout, ("walk",)), provenance=[])
    with pytest.raises(DataError, match="expected clips, got none"):
        predictions(none, folder)


def test_only_the_clips_that_a_split_leaves_are_named(make_recognizer, data_file):
    folder = make_recognizer()
    everyone, _ = predictions(data_file, folder)
    some, report = predictions(data_file, folder, split="subject=1,2")
    with SequenceFile(data_file) as file:
        left = {name for name, own in zip(file.names, file.subjects, strict=True) if own == 3}
    assert report.clips == len(left) == 8
    assert {name for name, _ in some} == left
    np.testing.assert_allclose(table(some), table({key: everyone[key] for key in some}), atol=1e-5)
