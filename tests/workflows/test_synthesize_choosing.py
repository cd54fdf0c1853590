"""Choosing among candidates: clip i stays clip i, and what is kept is what the criteria say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.data.store import SequenceFile
from skelaug.errors import CheckFailedError, NotFoundError, UsageError
from skelaug.image.sketch import sketch
from skelaug.workflows import synthesis_jury, synthesize
from skelaug.workflows.image_source import Address
from skelaug.workflows.open_model import open_model
from skelaug.workflows.synthesize import SynthesizeConfig, SynthReport, run
from skelaug.workflows.variation import tempo_factor

MakeModel = Callable[..., Path]
CLASSES = ("kick forward", "walk", "wave")


@pytest.fixture
def model(make_model: MakeModel) -> Path:
    return make_model()


@pytest.fixture
def judge(make_recognizer: Callable[..., Path]) -> Path:
    return make_recognizer("judge", classes=CLASSES)


@pytest.fixture
def synth(model: Path, tmp_path: Path) -> Callable[..., tuple[SynthReport, dict[str, np.ndarray]]]:
    """``synth(**settings)``: the report, and the positions of the clips by name."""

    def draw(**settings: object) -> tuple[SynthReport, dict[str, np.ndarray]]:
        out = tmp_path / f"{len(list(tmp_path.glob('*.h5')))}.h5"
        values = {"model": str(model), "out": out, "labels": ("kick",), "n": 12, "steps": 2}
        report = run(SynthesizeConfig.model_validate({**values, **settings}))
        with SequenceFile(out) as file:
            return report, {clip.name: clip.positions for clip in file}

    return draw


def _candidates(model: Path, count: int, attempts: int, *, seed: int = 0) -> np.ndarray:
    """All candidates of the first samples of class 0, K N C R F."""
    source = open_model(model, settings={"steps": 2}, seed=seed)
    return np.stack(
        [source.draw([Address(i, k) for i in range(count)], [0] * count) for k in range(attempts)]
    )


def _equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[bool]:
    return [np.array_equal(a[name], b[name]) for name in sorted(a.keys() & b.keys())]


def test_without_choice_the_first_candidate_is_decoded_as_ever(model: Path, synth) -> None:
    source = open_model(model, settings={"steps": 2}, seed=0)
    _, clips = synth()
    first = _candidates(model, 12, 1)[0]
    for image, positions in zip(first, clips.values(), strict=True):
        record = source.codec.record(length=len(positions), fps=30.0)
        np.testing.assert_array_equal(source.codec.decode(image, record).positions, positions)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"novel": True}, marks=pytest.mark.slow),
        pytest.param({"judge": "own", "judge_least": 0.4}, marks=pytest.mark.slow),
        {"judge": "guide", "judge_least": 0.34, "novel": True, "no_copies": True},
    ],
)
def test_clip_i_does_not_depend_on_how_many_are_drawn(
    judge: Path, synth, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    settings = {**settings, "candidates": 4, "vary_bones": 0.1, "vary_tempo": 0.2}
    if settings.get("judge") == "own":
        settings["judge"] = str(judge)
    report, few = synth(n=9, **settings)
    monkeypatch.setattr(synthesize, "_SHARD", 64)
    _, many = synth(n=70, **settings)
    assert len(many) == 70
    assert _equal(few, many) == [True] * 9
    monkeypatch.setattr(synthesize, "_SHARD", 512)  # other candidates are drawn together
    _, together = synth(n=70, **settings)
    assert all(_equal(many, together))
    assert report.choice is not None
    assert 9 < report.choice.drawn <= 36


def test_what_is_counted_survives_an_interruption(
    judge: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesize, "_SHARD", 64)
    config = {"model": str(model), "labels": ("kick",), "n": 130, "steps": 2, "candidates": 2}
    config |= {"judge": str(judge), "judge_least": 0.2, "drop_failed": True}
    whole = run(SynthesizeConfig.model_validate({**config, "out": tmp_path / "whole" / "a.h5"}))
    killed = SynthesizeConfig.model_validate({**config, "out": tmp_path / "killed" / "a.h5"})
    write, written = synthesize.write_sequences, []

    def dying(*arguments: object, **named: object) -> object:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments[0])
        return write(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(synthesize, "write_sequences", dying)
        run(killed)
    resumed = run(killed, resume=True)
    assert resumed.resumed_shards == 2
    different = {"output", "seconds", "resumed_shards"}
    assert resumed.model_dump(exclude=different) == whole.model_dump(exclude=different)
    assert killed.out.read_bytes() == (tmp_path / "whole" / "a.h5").read_bytes()
    assert whole.choice is not None
    assert 0 < whole.clips < 130
    assert whole.clips == 130 - whole.choice.unmet


def _hating(judge: Path, out: Path, hated: str) -> Path:
    """The judge with a bias against a class."""
    found = load_checkpoint(judge / "model.safetensors")
    weights = dict(found.weights)
    bias = weights["classify.bias"].clone()
    bias[found.classes.index(hated)] -= 100
    save_checkpoint(out, replace(found, weights={**weights, "classify.bias": bias}))
    return out


def test_a_judge_that_hates_a_candidate_flips_the_choice(
    judge: Path, synth, tmp_path: Path
) -> None:
    _, plain = synth()
    kind, kept = synth(candidates=6, judge=str(judge), judge_least=0.0)
    assert all(_equal(plain, kept))  # what passes first is taken
    assert kind.choice is not None
    assert kind.choice.drawn == 12
    strict, chosen = synth(candidates=6, judge=str(judge), judge_least=0.9)
    assert not all(_equal(plain, chosen))
    assert strict.choice is not None
    assert strict.choice.failed["judge"] == strict.choice.drawn - strict.choice.passed
    foe = _hating(judge, tmp_path / "foe.safetensors", "kick forward")
    hated, _ = synth(candidates=6, judge=str(foe))
    assert hated.choice is not None
    assert (hated.choice.drawn, hated.choice.failed, hated.choice.unmet) == (72, {"judge": 72}, 12)
    with pytest.raises(
        CheckFailedError, match=r"got none of 12 \(candidates that failed: judge 72"
    ):
        synth(candidates=6, judge=str(foe), drop_failed=True)
    assert not list(tmp_path.glob("*.parts"))


def test_the_kept_candidate_is_the_one_farthest_from_the_training_clips(model: Path, synth) -> None:
    _, kept = synth(candidates=5, novel=True, novel_most=100.0)
    source = open_model(model, settings={"steps": 2}, seed=0)
    reference = load_checkpoint(model / "sketch.safetensors").weights["sketch"].numpy()
    drawn = _candidates(model, 12, 5)
    for i, positions in enumerate(kept.values()):
        sketches = sketch(drawn[:, i], source.codec)
        nearest = [min(np.linalg.norm(one - other) for other in reference) for one in sketches]
        image = drawn[int(np.argmax(nearest)), i]
        record = source.codec.record(length=len(positions), fps=30.0)
        np.testing.assert_array_equal(source.codec.decode(image, record).positions, positions)


def test_beyond_the_range_the_nearest_is_kept_and_counted(synth) -> None:
    far, _ = synth(candidates=3, novel=True, novel_most=1e-6)
    assert far.choice is not None
    assert far.choice.failed == {"novel": 36}
    assert far.choice.unmet == 12


def test_what_is_implausible_is_left_out(model: Path, synth, write_file, make_sequence) -> None:
    like = write_file(
        model.parent / "real.h5", [make_sequence("walk", name=str(s), seed=s) for s in range(5)]
    )
    report, clips = synth(plausible_like=like, candidates=2)
    assert report.choice is not None
    assert report.choice.failed == {"plausible": 24}  # untrained weights move like nobody
    path = model / "diffusion.safetensors"
    found = load_checkpoint(path)
    wide = {"bone_length_variation": [0.0, 100.0], "acceleration": [0.0, 100.0]}
    save_checkpoint(path, replace(found, meta={**found.meta, "plausibility": wide}))
    wider, same = synth(plausible=True, candidates=2, drop_failed=True)
    assert wider.choice is not None
    assert (wider.choice.drawn, wider.choice.unmet) == (12, 0)
    assert all(_equal(clips, same))


def test_other_bodies_and_tempi_leave_everything_else_as_it_is(synth) -> None:
    _, plain = synth(labels=("walk",), fps=100.0)
    _, slow = synth(labels=("walk",), fps=100.0, vary_tempo=0.3)
    for i, name in enumerate(plain):
        # 1.5 or 1.8 seconds
        factor = tempo_factor(0.3, seed=0, sample=i)
        assert len(slow[name]) == round(len(plain[name]) * factor)
        np.testing.assert_allclose(slow[name][[0, -1]], plain[name][[0, -1]], atol=0.02)
    assert len({len(positions) for positions in slow.values()}) > 6
    _, same = synth(labels=("walk",), fps=100.0, vary_bones=0.0, vary_tempo=0.0)
    assert all(_equal(plain, same))
    _, other = synth(labels=("walk",), fps=100.0, vary_bones=0.2)
    for name, positions in other.items():
        path = (positions - plain[name])[:, :, 0]
        np.testing.assert_allclose(path, np.broadcast_to(path[:1], path.shape), atol=1e-5)
        assert np.abs(positions - plain[name]).max() > 0.01


def test_provenance_names_judge_and_settings(judge: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    settings = {"judge": str(judge), "candidates": 2, "vary_bones": 0.1}
    run(SynthesizeConfig(model=str(model), out=out, labels=("walk",), n=2, steps=2, **settings))
    with SequenceFile(out) as file:
        told = file.provenance[-1]
    assert len(told["judge"]["sha256"]) == 64
    assert set(told["judge"]) >= {"split", "subjects", "data"}
    assert told["config"]["vary_bones"] == 0.1
    assert told["config"]["candidates"] == 2


def _hurt(folder: Path, counts: list[list[int]], names: tuple[str, ...] = CLASSES) -> Path:
    folder.mkdir(exist_ok=True)
    told = {"confusion": {"truths": names, "classes": names, "counts": counts}}
    (folder / "scores.json").write_text(json.dumps(told))
    return folder


def test_more_clips_are_drawn_where_it_hurts(synth, tmp_path: Path) -> None:
    run_folder = _hurt(tmp_path / "run", [[5, 3, 0], [0, 9, 0], [0, 1, 6]])
    report, clips = synth(labels=(), n=16, where_it_hurts=run_folder)
    assert {one.label: one.clips for one in report.labels} == {
        "kick forward": 6,
        "walk": 8,
        "wave": 2,
    }
    assert len(clips) == 16
    assert [one.clips for one in report.weak] == [6, 8, 2]
    assert "flatters" in report.warnings[0]
    labels = [name.rsplit("-", 2)[0] for name in sorted(clips, key=lambda name: name[-6:])]
    assert set(labels[:8]) == {"kick-forward", "walk", "wave"}  # mixed, not one after the other
    some, _ = synth(labels=("wave",), n=None, where_it_hurts=run_folder)
    assert {one.label: one.clips for one in some.labels} == {"wave": 100}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"candidates": 3}, UsageError, "--candidates 3: expected a criterion to choose by"),
        ({"drop_failed": True}, UsageError, "--drop-failed: expected a criterion to choose by"),
        ({"plausible": True}, NotFoundError, "keeps no range of its training clips; take it from"),
        ({"plausible_like": Path("none.h5")}, NotFoundError, "no such file"),
        ({"judge": "nobody"}, NotFoundError, "no packaged model and no run"),
        ({"judge": "narrow"}, UsageError, "got one without 'kick forward'"),
        ({"where_it_hurts": Path("nowhere")}, NotFoundError, "no such run"),
        ({"where_it_hurts": "run", "like": "like"}, UsageError, "got --like too"),
        ({"where_it_hurts": "run", "balance_to": 3}, UsageError, "got --balance-to too"),
        ({"where_it_hurts": "strange", "labels": ()}, UsageError, "'jump', unknown to it; name"),
    ],
)
def test_mistakes_are_named(
    synth,
    tmp_path: Path,
    data_file: Path,
    make_recognizer: Callable[..., Path],
    settings: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    counts = [[5, 3, 0], [0, 9, 0], [0, 1, 6]]
    there = {
        "narrow": str(make_recognizer("narrow", classes=("walk", "wave"))),
        "run": _hurt(tmp_path / "run", counts),
        "strange": _hurt(tmp_path / "strange", counts, ("walk", "jump", "wave")),
        "like": data_file,
    }
    with pytest.raises(error, match=message):
        synth(**{k: there.get(str(v), v) if str(v) in there else v for k, v in settings.items()})


def test_a_model_without_guide_or_sketch_says_so(model: Path, synth) -> None:
    (model / "sketch.safetensors").unlink()
    with pytest.raises(NotFoundError, match="leave --no-copies and --novel out"):
        synth(novel=True, candidates=2)
    (model / "guide.safetensors").unlink()
    with pytest.raises(NotFoundError, match="has no guide; name one with --guide"):
        synth(judge=synthesis_jury.OWN_GUIDE)
