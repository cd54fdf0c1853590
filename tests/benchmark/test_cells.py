"""Cells of a benchmark: equal work in every arm, copies that are only copies, no leak."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skelaug.benchmark.arms import ARMS, choose_arms
from skelaug.benchmark.cells import Cells
from skelaug.benchmark.copies import copies_of_kept
from skelaug.benchmark.generators import GENERATORS
from skelaug.benchmark.grid import Grid
from skelaug.benchmark.mixing import Mixture, mix
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.sources import CLIPS, Sources
from skelaug.benchmark.table import Table
from skelaug.checkpoint import load_checkpoint
from skelaug.config import load
from skelaug.data.splits import split_clips, split_hash
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, UsageError
from skelaug.refinement.noise_model import NoiseModel
from skelaug.skeleton.sequence import Source
from skelaug.workflows import train_diffusion
from skelaug.workflows.noise_file import save_noise
from skelaug.workflows.train_guide import TrainGuideConfig
from skelaug.workflows.train_recognizer import TrainRecognizerConfig

TINY = {
    "recognizer_settings": {
        "model": {"arguments": {"widths": [8, 8]}},
        "optimisation": {"steps": 3, "batch": 8},
        "preparation": {"frames": 16},
    },
    "generator_settings": {
        "optimisation": {"steps": 3, "batch": 8},
        "model": {"arguments": {"width": 24, "depth": 2, "heads": 2}},
        "codec": {"frames": 8},
    },
    "synth_settings": {"steps": 2},
}


def table_of(data: Path, out: Path, *, tiny=TINY, **settings) -> Table:
    values = {"mode": "incremental", "split": "subject=1,2", "seeds": 1, "ratios": (0.5,), **tiny}
    flags = {"data": data, "out": out, **settings}
    config = load(BenchConfig, preset=values, flags=flags).resolved()
    file = SequenceFile(data)
    sources = Sources(config, Grid(out), file, device="cpu")
    return Table(split_clips(file, config.split), Cells(sources))


def finished(table: Table):
    table.cells.grid.complete(list(table.tasks.values()))
    return {place: table.score(place, task) for place, task in table.tasks.items()}


@pytest.mark.parametrize("regime", ARMS)
def test_arms_of_a_regime_have_names_of_their_own_and_a_control(regime):
    names = [arm.name for arm in ARMS[regime]]
    assert len(set(names)) == len(names)
    usual = [arm.name for arm in choose_arms(regime)]
    assert set(names) - set(usual) == {"noisy-poses", "noisy-poses+classical"}
    assert [arm.name for arm in choose_arms(regime, ["synthetic", "real"])] == ["synthetic", "real"]
    assert any(not arm.is_synthetic and not arm.is_bound for arm in ARMS[regime])
    with pytest.raises(UsageError, match="did you mean 'classical'"):
        choose_arms(regime, ["clasical"])


def test_every_generator_trains_from_settings_that_exist():
    for spec in GENERATORS.values():
        if spec.guide is not None:
            load(TrainGuideConfig, preset=spec.guide, flags={"data": Path("a"), "out": Path("b")})


def test_hgvae_learns_labelled_clips_and_draws_some_of_each_class(data_file, tmp_path):
    settings = {
        "optimisation": {"steps": 3, "batch": 8},
        "model": {"arguments": {"level_features": [4, 4, 4, 8], "width": 8}},
        "codec": {"frames": 8},
    }
    tiny = {**TINY, "generator_settings": settings, "synth_settings": {}}
    table = table_of(data_file, tmp_path, tiny=tiny, generators=("hgvae",))
    place = next(place for place in table.tasks if place.generator == "hgvae")
    pool = next(need for need in table.tasks[place].needs if need.kind == "pool")
    grid = table.cells.grid
    grid.complete([pool])
    with SequenceFile(grid.path(pool) / CLIPS) as drawn:
        counts = Counter(drawn.label_name(i) for i in range(len(drawn)))
        assert len(counts) == 4
        assert len(set(counts.values())) == 1
        assert (drawn.sources == Source.SYNTHETIC).all()
        assert all(clip.observed.all() and clip.num_frames > 1 for clip in drawn)
        assert drawn.provenance[-1]["recipe"]["sampler"] == "prior"


def test_every_arm_takes_the_same_steps_on_the_same_test_clips(data_file, tmp_path):
    scores = finished(table_of(data_file, tmp_path, regime="subjects", fraction=1.0))
    assert {place.arm.name for place in scores} == {arm.name for arm in choose_arms("subjects")}
    assert {score.steps for score in scores.values()} == {3}
    assert {score.chance for score in scores.values()} == {0.25}
    cells = sorted((tmp_path / "cell").iterdir())
    assert len(cells) == len(scores)
    assert not any((cell / "model.safetensors").exists() for cell in cells)


def test_finished_cells_are_not_trained_again(data_file, tmp_path):
    table = table_of(data_file, tmp_path, arms=["classical", "oversampling"])
    first = finished(table)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores.json")}
    again = finished(table_of(data_file, tmp_path, arms=["classical", "oversampling"]))
    assert [score.accuracy for score in first.values()] == [s.accuracy for s in again.values()]
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores.json")}


def test_noisy_poses_are_copies_with_errors_of_their_own(data_file, tmp_path):
    with SequenceFile(data_file) as file:
        layout = file.layout
    mean, at = (torch.zeros(3 * layout.num_joints - 3).double() for _ in range(2))
    zero = torch.zeros(len(mean), len(mean)).double()
    model = NoiseModel(layout.num_joints, layout.root, False, mean, at, zero, 0.01 + zero.tril())
    save_noise(tmp_path / "noise.safetensors", model, layout, 30.0)
    told = {"noise": str(tmp_path / "noise.safetensors"), "arms": ["noisy-poses"]}
    table = table_of(data_file, tmp_path / "a", ratios=[2.0], **told)
    (score,) = finished(table).values()
    assert score.steps == 3
    place = next(iter(table.tasks))
    task = table.cells._extra(place, table.draws[place.seed])["noisy"]
    with SequenceFile(data_file) as real, SequenceFile(table.cells.grid.path(task) / CLIPS) as made:
        rows = {name: row for row, name in enumerate(real.names)}
        errors = {}
        for clip in made:
            name, _, number = clip.name.rpartition(" copy ")
            errors[name, number] = clip.positions - real[rows[name]].positions
    assert all(np.abs(error).max() > 1e-3 for error in errors.values())
    assert not any(error[:, :, layout.root].any() for error in errors.values())
    one, two = (errors[next(iter(errors))[0], number] for number in ("1", "2"))
    assert np.abs(one - two).max() > 1e-3
    stronger = table_of(data_file, tmp_path / "b", noise_strength=(3, 3), **told)
    other = stronger.cells._extra(place, stronger.draws[place.seed])["noisy"]
    assert other.key != task.key


def copies_file(table: Table, path: Path) -> Path:
    """What a generator would write that copies what it saw."""
    place = next(place for place in table.tasks if place.arm.name == "oversampling")
    task = table.cells._extra(place, table.draws[place.seed])["copies"]
    table.cells.grid.complete([task])
    return (table.cells.grid.path(task) / CLIPS).rename(path)


@pytest.mark.parametrize("mode", ["incremental", "replacement"])
def test_a_generator_that_copies_its_input_is_the_oversampling_arm(data_file, tmp_path, mode):
    options = {"mode": mode, "fraction": 1.0}
    plain = table_of(data_file, tmp_path / "a", arms=["oversampling"], **options)
    copies = copies_file(plain, tmp_path / "copies.h5")
    generator = {"generators": [str(copies)]}
    arms = ["oversampling", "synthetic"]
    table = table_of(data_file, tmp_path / "b", arms=arms, **generator, **options)
    finished(table)
    grid = table.cells.grid
    over, synthetic = (grid.path(task) for task in table.tasks.values())
    if mode == "incremental":
        for name in ("log.jsonl", "scores.json"):
            lines = [(cell / name).read_text().split('"seconds"')[0] for cell in (over, synthetic)]
            assert lines[0] == lines[1]
    else:  # a copy of a clip that was taken out brings it back, which oversampling does not do
        assert (over / "log.jsonl").read_text() != (synthetic / "log.jsonl").read_text()


labels = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"))


@given(real=labels.filter(bool), ratio=st.floats(0.01, 0.9), seed=st.integers(0, 9))
def test_copies_are_of_clips_that_are_kept(real, ratio, seed):
    pool = {f"{name} copy {k}": label for name, label in real.items() for k in range(1, 21)}
    before = mix(real, pool, mode="replacement", ratio=ratio, seed=seed)
    after = copies_of_kept(before, pool)
    assert after.real == before.real
    assert len(set(after.extra)) == len(before.extra)
    assert Counter(pool[n] for n in after.extra) == Counter(pool[n] for n in before.extra)
    kept = {real[name] for name in after.real}
    for name in after.extra:
        original = name.rpartition(" copy ")[0]
        assert original in after.real or real[original] not in kept


def test_a_copy_is_swapped_only_where_its_original_is_gone():
    pool = {"a copy 1": "x", "b copy 1": "x", "b copy 2": "x"}
    assert copies_of_kept(Mixture(("b",), ("a copy 1",)), pool).extra == ("b copy 1",)
    assert copies_of_kept(Mixture(("a",), ("a copy 1",)), pool).extra == ("a copy 1",)


def test_a_file_of_a_generator_that_saw_the_test_part_is_refused(data_file, tmp_path):
    with SequenceFile(data_file) as file:
        clips = [replace(clip, source=Source.SYNTHETIC, seed=0) for clip in file]
        model = {"split": {"rule": "", "hash": split_hash(file.names)}}
        schema = Schema(file.layout, file.classes)
        path = tmp_path / "leaky.h5"
        write_sequences(path, clips, schema, provenance=[{"command": "synth", "model": model}])
    with pytest.raises(DataError, match="saw none of the 8 test clips, got one trained on 8"):
        table_of(data_file, tmp_path / "out", generators=[str(path)])


def test_pseudo_labels_come_from_a_recognizer_and_never_from_the_file(data_file, tmp_path):
    arms = ["pseudo-labels", "self-training"]
    table = table_of(
        data_file, tmp_path, regime="labels", fraction=0.5, arms=arms, pseudo_least=0.0
    )
    finished(table)
    draw = table.draws[0]
    files = sorted((tmp_path / "pseudo").glob(f"*/{CLIPS}"))
    assert len(files) == 2
    for path in files:
        with SequenceFile(path) as file:
            assert sorted(file.names) == sorted(draw.unlabelled)
            truth = [table.cells.sources.label(name) for name in file.names]
            named = [file.label_name(row) for row in range(len(file))]
            assert named != truth  # an untrained recognizer is not right about everything


def test_rare_classes_are_filled_up_and_no_others(data_file, tmp_path):
    settings = {"regime": "rare", "rare_clips": 1, "ratios": [1.0], "arms": ["balanced"]}
    table = table_of(data_file, tmp_path, **settings)
    place = next(iter(table.tasks))
    draw = table.draws[0]
    extra = table.cells._extra(place, draw)
    table.cells.grid.complete(list(extra.values()))
    mixture = table.cells._mixture(place, draw, extra)
    counts = Counter(table.cells.sources.label(name) for name in mixture.real)
    added = Counter(table.cells.sources.label(n.rpartition(" copy ")[0]) for n in mixture.extra)
    assert set(added) == set(draw.rare)
    assert {counts[name] + added[name] for name in draw.rare} == {4}
    assert mixture.real == draw.recognizer


def test_equal_trainings_are_one_task(data_file, tmp_path):
    one = table_of(data_file, tmp_path, arms=["classical"])
    other = table_of(data_file, tmp_path, arms=["classical"], ratios=[2.0], mode="replacement")
    assert list(one.tasks.values()) == list(other.tasks.values())
    steps = {**TINY["recognizer_settings"], "optimisation": {"steps": 4, "batch": 8}}
    longer = table_of(data_file, tmp_path, arms=["classical"], recognizer_settings=steps)
    assert list(one.tasks.values()) != list(longer.tasks.values())


def test_the_recognizers_settings_are_those_of_its_preset(data_file, tmp_path):
    table = table_of(data_file, tmp_path, recognizer_settings={"optimisation": {"steps": 7}})
    config = table.cells._training("compact", 2, 1, augment=False)
    assert isinstance(config, TrainRecognizerConfig)
    assert (config.optimisation.steps, config.seed, config.mixup) == (7, 201, 0.2)
    assert config.augment == type(config.augment)()


def test_arguments_of_a_network_leave_its_name_alone(data_file, tmp_path):
    settings = {"model": {"arguments": {"depth": 2}}, "optimisation": {"steps": 3}}
    networks = ["compact", "st-gcn"]
    table = table_of(data_file, tmp_path, recognizers=networks, recognizer_settings=settings)
    for name in networks:
        model = table.cells._training(name, 0, 0, augment=True).model
        assert (model.name, model.arguments["depth"]) == (name, 2)


def test_a_second_round_of_pseudo_labels_knows_how_the_first_took_part(data_file, tmp_path):
    def rounds(**settings):
        arms = {"regime": "labels", "fraction": 0.5, "arms": ["pseudo-labels", "self-training"]}
        table = table_of(data_file, tmp_path, **arms, **settings)
        return [task.needs[0] for task in table.tasks.values()]

    plain, shared, weighed = rounds(), rounds(share=0.5), rounds(weight=0.3)
    assert plain[0] == shared[0] == weighed[0]
    assert len({plain[1], shared[1], weighed[1]}) == 3


def test_a_file_is_looked_at_before_anything_is_trained(data_file, tmp_path, make_sequence):
    """Another layout, or a class that it names without having a clip of it; then one unproven."""

    def told(clips, classes):
        path = tmp_path / "synthetic.h5"
        path.unlink(missing_ok=True)
        clips = [replace(clip, source=Source.SYNTHETIC, seed=0) for clip in clips]
        write_sequences(path, clips, Schema(clips[0].layout, tuple(classes)), provenance=[])
        return table_of(data_file, tmp_path / "out", generators=[str(path)])

    with SequenceFile(data_file) as file:
        own, classes = list(file), file.classes
    others = [make_sequence(name, name=name, layout="ntu_25") for name in classes]
    with pytest.raises(DataError, match="got ntu_25"):
        told(others, classes)
    with pytest.raises(DataError, match="expected clips of every class, got none of"):
        told([clip for clip in own if clip.label != classes[0]], classes)
    assert any("does not say which clips" in note for note in told(own, classes).notes)


def test_equal_draws_are_told(data_file, tmp_path):
    def notes(**settings):
        table = table_of(data_file, tmp_path, arms=["classical"], seeds=3, **settings)
        return [note for note in table.notes if "all draws have the same" in note]

    assert len(notes(fraction=1.0)) == 1
    assert not notes(fraction=0.5)


def test_a_class_that_the_generator_never_saw_is_told(tmp_path, make_sequence, write_file):
    """Performer 2, the only one who can be spared, walks and nothing else."""
    every = [("walk", 1), ("wave", 1), ("walk", 2), ("walk", 3), ("wave", 3)]
    clips = [
        make_sequence(label, name=f"{label}{who}{take}", subject=who, seed=10 * who + take)
        for label, who in every
        for take in range(2)
    ]
    path = write_file(tmp_path / "data.h5", clips)
    options = {"regime": "subjects", "fraction": 1.0, "arms": ["synthetic"], "generator_share": 0.3}
    table = table_of(path, tmp_path / "out", **options)
    assert any("no clip of the generator is of 'wave'" in note for note in table.notes)


def test_the_data_itself_is_no_other_data(data_file, tmp_path, make_sequence, write_file):
    options = {"regime": "transfer", "fraction": 0.5, "arms": ["pre-trained"]}
    with pytest.raises(DataError, match="its test part among it"):
        table_of(data_file, tmp_path / "out", others=[data_file], **options)
    with SequenceFile(data_file) as file:
        clips = [replace(file[row], name=f"mine {row}") for row in (0, len(file) - 1)]
    other = write_file(tmp_path / "other.h5", [*clips, make_sequence("jump", name="j", seed=77)])
    table = table_of(data_file, tmp_path / "out", others=[other], **options)
    with pytest.raises(DataError, match=r"got 2 of .*data\.h5 \(mine 0"):
        table.cells.grid.complete([table.cells.sources.merged])


def test_arms_that_find_no_further_clips_learn_from_the_real_ones(data_file, tmp_path):
    """No pseudo-label is sure enough, in both rounds; a hundredth of few clips is none."""
    arms = ["classical", "pseudo-labels", "self-training", "synthetic+classical"]
    options = {"regime": "labels", "fraction": 0.5, "arms": arms, "ratios": [0.01]}
    table = table_of(data_file, tmp_path, pseudo_least=1.0, **options)
    scores = finished(table)
    assert len({score.accuracy for score in scores.values()}) == 1
    told = table.notes_on(table.tasks)
    assert len(told) == 3
    assert "arm pseudo-labels had no further clips" in told[0]
    # nothing stays of how the teachers did
    assert {path.name for path in tmp_path.glob("pseudo/*/*")} == {CLIPS, "settings.json"}


def test_pseudo_labels_need_clips_whose_labels_are_hidden(data_file, tmp_path):
    with pytest.raises(DataError, match=r"arm pseudo-labels, got none; lower --fraction"):
        table_of(data_file, tmp_path, regime="labels", fraction=1.0, arms=["pseudo-labels"])


def test_other_data_sets_teach_the_generator_and_a_first_recognizer(
    data_file, tmp_path, make_sequence, write_file
):
    """Classes that the target lacks, and clips and performers that go by the same names."""
    clips = [
        make_sequence(label, name=f"{label} {subject}-{take}", subject=subject, seed=take)
        for label in ("jump", "walk")
        for subject in (1, 2)
        for take in (0, 1)
    ]
    other = write_file(tmp_path / "other.h5", clips)
    arms = ["classical", "pre-trained", "synthetic"]
    options = {"regime": "transfer", "fraction": 0.5, "others": [other], "arms": arms}
    table = table_of(data_file, tmp_path / "out", **options)
    scores = finished(table)
    assert {score.steps for score in scores.values()} == {3}
    sources = table.cells.sources
    assert sources.config.generators == ("performers",)
    foreign = sources.foreign()
    assert len(foreign) == len(clips)
    target = sources._in_merged(table.draws[0].recognizer)
    with SequenceFile(sources.grid.path(sources.merged) / CLIPS) as everything:
        assert set(target) <= set(everything.names)
        assert not set(target) & set(foreign)
    told = load_checkpoint(next((tmp_path / "out" / "start").glob("*/model.safetensors"))).meta
    assert sum(told["clips"].values()) == len(clips)
    taught = load_checkpoint(next((tmp_path / "out" / "model").glob("*/model.safetensors"))).meta
    assert sum(taught["clips"].values()) == len(clips) + len(target)


def test_another_preset_is_another_generator(data_file, tmp_path, monkeypatch):
    before = table_of(data_file, tmp_path, arms=["synthetic"])
    preset = {"optimisation": {"steps": 3, "lr": 0.5}}
    monkeypatch.setattr(train_diffusion, "PRESETS", {"cpu": preset})
    after = table_of(data_file, tmp_path, arms=["synthetic"])
    assert list(before.tasks.values()) != list(after.tasks.values())
    with pytest.raises(UsageError, match="optimization"):
        table_of(data_file, tmp_path, generator_settings={"optimization": {"steps": 3}})
