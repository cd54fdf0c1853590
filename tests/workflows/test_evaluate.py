import json

import numpy as np
import pytest

from skelaug.data.splits import split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import CheckFailedError, DataError, NotFoundError, UsageError
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.sequence import Source
from skelaug.workflows.convert import ConvertConfig
from skelaug.workflows.convert import run as convert
from skelaug.workflows.evaluate import EvaluateConfig, run

QUICK = {"steps": 2, "draws": 3, "split": "subject=1,2"}


@pytest.fixture
def synthetic(tmp_path, make_sequence, write_file):
    """Twelve clips of three of the real file's four classes."""
    clips = [
        make_sequence(label, name=f"{label} {i}", seed=50 + i, source=Source.SYNTHETIC)
        for label in ("kick forward", "walk", "wave")
        for i in range(4)
    ]
    return write_file(tmp_path / "synthetic.h5", clips)


def evaluate(real, synthetic, **options):
    force = options.pop("force", False)
    return run(EvaluateConfig(real=real, synthetic=synthetic, **{**QUICK, **options}), force=force)


def test_every_number_has_an_interval_and_real_numbers_beside_it(data_file, synthetic):
    report = evaluate(data_file, synthetic)
    assert (report.clips.train, report.clips.synthetic, report.clips.held_out) == (16, 12, 8)
    assert report.clips.per_draw == 3
    assert report.split == "subject=1,2"
    for name in ("fid", "accuracy", "bone_length_variation", "acceleration_mm", "nearest_p05_mm"):
        score = getattr(report, name)
        for side in (score.synthetic, score.real, score.held_out):
            assert side.mean >= 0
            assert side.half_width >= 0
    assert 0 <= report.accuracy.synthetic.mean <= 1
    assert report.velocity_mm.unit == "mm/frame"
    assert report.recognizer.source == "trained"
    assert 0 <= report.recognizer.held_out_accuracy <= 1
    assert [row.label for row in report.classes] == ["kick forward", "walk", "wave"]
    assert [(row.train, row.synthetic, row.held_out) for row in report.classes] == [(4, 4, 2)] * 3
    assert any("does not say" in note for note in report.notes)


def test_equal_runs_give_equal_numbers_and_another_seed_others(data_file, synthetic):
    first, second = (evaluate(data_file, synthetic) for _ in range(2))
    clock = {"seconds", "recognizer"}
    assert first.model_dump(exclude=clock) == second.model_dump(exclude=clock)
    assert evaluate(data_file, synthetic, seed=1).fid != first.fid


def test_training_clips_in_place_of_synthetic_ones_are_copies(data_file):
    report = evaluate(data_file, data_file, split="")
    assert report.copies.synthetic == 1
    assert report.nearest_median_mm.synthetic.mean == 0
    assert report.nearest_median_mm.ratio == 0
    assert report.fid.held_out is None
    assert report.recognizer.held_out_accuracy is None


def test_kept_recognizers_give_the_same_scores_without_training(data_file, synthetic, tmp_path):
    network = tmp_path / "recognizers.safetensors"
    trained = evaluate(data_file, synthetic, save_network=network)
    again = evaluate(data_file, synthetic, network=str(network))
    clock = {"seconds", "recognizer"}
    assert again.model_dump(exclude=clock) == trained.model_dump(exclude=clock)
    assert again.recognizer.source == str(network)
    assert again.recognizer.seconds == 0
    assert again.recognizer.held_out_accuracy == trained.recognizer.held_out_accuracy


def test_recognizers_of_other_clips_or_another_preparation_are_refused(
    data_file, synthetic, tmp_path
):
    network = tmp_path / "recognizers.safetensors"
    evaluate(data_file, synthetic, save_network=network)
    with pytest.raises(DataError, match=r"others for class .* \('subject=1,2'\)"):
        evaluate(data_file, synthetic, network=str(network), split="subject=1,3")
    with pytest.raises(DataError, match="16 frames and 1 persons, got kinect_20, 24 and 1"):
        evaluate(data_file, synthetic, network=str(network), frames=16)
    with pytest.raises(NotFoundError, match="nowhere"):
        evaluate(data_file, synthetic, network="nowhere")


def test_recognizers_of_more_classes_serve_a_file_with_some_of_them(
    data_file, synthetic, tmp_path, write_file
):
    network = tmp_path / "recognizers.safetensors"
    everything = evaluate(data_file, synthetic, save_network=network)
    with SequenceFile(data_file) as file:
        fewer = [clip for clip in file if clip.label in ("wave", "walk")]
    part = write_file(tmp_path / "part.h5", fewer)
    report = evaluate(part, synthetic, network=str(network))
    assert [row.label for row in report.classes] == ["walk", "wave"]
    assert report.clips.train == 8
    rows = {row.label: row for row in everything.classes}
    for row in report.classes:
        assert row.synthetic_accuracy == rows[row.label].synthetic_accuracy


def test_report_and_picture_are_written_and_not_overwritten(data_file, synthetic, tmp_path):
    out, picture = tmp_path / "scores.json", tmp_path / "confusion.png"
    spectrum = tmp_path / "spectrum.png"
    report = evaluate(data_file, synthetic, out=out, picture=picture, spectrum=spectrum)
    document = json.loads(out.read_text())
    assert document["schema"] == 1
    assert document["command"] == "eval"
    assert document["fid"]["ratio"] == report.fid.ratio
    assert document["spectrum"]["high_band"]["ratio"] == report.spectrum.high_band.ratio
    assert len(document["spectrum"]["synthetic"]) == 24
    for drawn in (picture, spectrum):
        assert drawn.read_bytes().startswith(b"\x89PNG")
    for option in ({"out": out}, {"picture": picture}, {"spectrum": spectrum}):
        with pytest.raises(UsageError, match="--force"):
            evaluate(data_file, synthetic, **option)
    evaluate(data_file, synthetic, out=out, force=True)


def test_a_generator_that_saw_the_test_part_is_refused_before_any_work(
    data_file, tmp_path, make_sequence
):
    with SequenceFile(data_file) as file:
        names = list(file.names)
    path = tmp_path / "leak.h5"
    record = {"command": "synth", "model": {"split": {"rule": "", "hash": split_hash(names)}}}
    schema = Schema(get_layout("kinect_20"), ("walk",))
    write_sequences(path, [make_sequence("walk")], schema, provenance=[record])
    with pytest.raises(CheckFailedError, match="trained on 8 of them"):
        evaluate(data_file, path)


def test_too_few_real_clips_are_said_with_numbers(tmp_path, make_sequence, write_file):
    real = write_file(
        tmp_path / "real.h5",
        [make_sequence("walk", name=f"{i}", subject=i) for i in (1, 2, 3)],
    )
    with pytest.raises(DataError, match=r"4 real training clips .* got 2 real clips of 'walk'"):
        evaluate(real, real)


def test_small_classes_are_named_in_a_note(tmp_path, labelled_clips, make_sequence, write_file):
    rare = [make_sequence("rare", name=f"rare {i}", seed=i) for i in range(2)]
    real = write_file(tmp_path / "real.h5", [*labelled_clips(), *rare])
    report = evaluate(real, real, split="")
    assert any("'rare'" in note for note in report.notes)


def test_two_persons_are_measured_too(tmp_path, labelled_clips, write_file):
    real = write_file(tmp_path / "real.h5", labelled_clips(persons=2))
    report = evaluate(real, real)
    assert np.isfinite(report.fid.synthetic.mean)
    assert report.copies.synthetic > 0.5


def test_missing_files_are_named(data_file, tmp_path):
    for pair in ((data_file, tmp_path / "no.h5"), (tmp_path / "no.h5", data_file)):
        with pytest.raises(NotFoundError, match=r"no\.h5"):
            evaluate(*pair)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1200)
def test_utd_mhad_training_and_test_subjects(shared_data, tmp_path):
    real, held_out = tmp_path / "utd.h5", tmp_path / "held_out.h5"
    archive = shared_data / "utd_mhad_skeleton.tar.xz"
    convert(ConvertConfig(sources=(archive,), out=real, layout="kinect_20"))
    with SequenceFile(real) as file:
        others = [clip for clip in file if clip.subject % 2 == 0]
        schema = Schema(file.layout, file.classes)
    write_sequences(held_out, others, schema, provenance=[])
    report = run(EvaluateConfig(real=real, synthetic=held_out))
    assert report.split == "official"
    assert (report.clips.train, report.clips.held_out) == (431, 430)
    assert report.recognizer.held_out_accuracy > 0.75
    assert report.recognizer.unseen_accuracy > 0.9
    assert report.fid.real.mean < report.fid.held_out.mean
    assert report.fid.synthetic.mean == pytest.approx(report.fid.held_out.mean, rel=0.3)
    assert report.copies.synthetic < 0.01
    assert report.nearest_median_mm.ratio > 1.2
