import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.files import sha256
from skelaug.skeleton.sequence import Source
from skelaug.workflows import impute as workflow
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.provenance import run_record_path


def hidden(clip, number):
    """The clip with a gap of one of four kinds, or whole."""
    observed, positions = clip.observed.copy(), clip.positions.copy()
    t = len(observed)
    frames = [slice(4, 8), slice(5, t - 5), slice(t - 6, t), slice(0, t), slice(0, 0)][number % 5]
    observed[frames, 0, 5:7] = False
    positions[~observed] = np.nan
    return clip.replaced(observed=observed, positions=positions)


@pytest.fixture
def gaps(tmp_path, labelled_clips, write_file):
    clips = [hidden(clip, number) for number, clip in enumerate(labelled_clips())]
    return write_file(tmp_path / "gaps.h5", clips)


@pytest.fixture
def settings(tmp_path, gaps, make_prior):
    """Of a run that takes a second or so."""
    told = {"data": gaps, "models": [str(make_prior())], "trial_clips": 9, "steps": 2, "samples": 2}

    def make(**changes):
        return ImputeConfig(**{"out": tmp_path / "out.h5", **told, **changes})

    return make


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(workflow, "_SHARD", 7)
    monkeypatch.setattr(workflow, "_CLIPS_AT_ONCE", 3)


def test_the_output_is_the_file_with_its_gaps_filled_and_marked(gaps, settings):
    config = settings()
    report = workflow.run(config)
    assert (report.clips, report.clips_with_gaps, report.imputed) == (24, 20, 20)
    assert report.missing == report.filled == sum(gap.missing for gap in report.gaps)
    assert [gap.kind for gap in report.gaps] == ["short", "long", "open", "unseen"]
    assert (report.rejected, report.warnings) == ([], [])
    with SequenceFile(gaps) as before, SequenceFile(config.out) as after:
        assert after.names == before.names
        assert after.classes == before.classes
        assert after.provenance[:-1] == before.provenance
        for one, other in zip(before, after, strict=True):
            is_whole = one.observed.all()
            assert other.positions[one.observed].tobytes() == one.positions[one.observed].tobytes()
            np.testing.assert_array_equal(other.observed, one.observed)
            assert np.isfinite(other.positions).all()
            assert ((other.uncertainty > 0) == ~one.observed).all()
            assert other.source is (Source.REAL if is_whole else Source.IMPUTED)
            for key in ("label", "subject", "camera", "setup", "fps", "seed", "name"):
                assert getattr(one, key) == getattr(other, key)


def test_synthetic_clips_are_counted_and_stay_such(gaps, tmp_path, write_file, settings):
    with SequenceFile(gaps) as file:
        drawn = [clip.replaced(source=Source.SYNTHETIC) for clip in file]
    config = settings(data=write_file(tmp_path / "drawn.h5", drawn), method="linear")
    assert workflow.run(config).imputed == 20
    with SequenceFile(config.out) as file:
        assert {clip.source for clip in file} == {Source.SYNTHETIC}


def test_auto_takes_the_method_of_least_error_and_says_so(settings):
    report = workflow.run(settings())
    for gap in report.gaps:
        rmse = {one.method: one.rmse_mm for one in gap.errors}
        assert gap.method == min(rmse, key=rmse.get)
        assert gap.trial_clips == 9
        along_time = {"linear"} if gap.kind == "unseen" else {"hold", "linear", "cubic"}
        assert set(rmse) == {*along_time, "mean", "reconstruction", "ascent", "hgvae"}
    # without a trial nothing is known of errors, and the usual methods are taken
    report = workflow.run(settings(trial_clips=0), force=True)
    assert [gap.method for gap in report.gaps] == [
        "linear",
        "reconstruction",
        "reconstruction",
        "reconstruction",
    ]
    assert all(gap.errors == [] and gap.reason == "not measured" for gap in report.gaps)


def test_the_uncertainty_is_as_large_as_the_error_in_the_trial(settings):
    for method in ("linear", "reconstruction"):
        config = settings(method=method)
        report = workflow.run(config, force=True)
        error = {gap.kind: {e.method: e.rmse_mm for e in gap.errors}[method] for gap in report.gaps}
        with SequenceFile(config.out) as file:
            short = [clip for n, clip in enumerate(file) if n % 5 == 0]
            values = np.concatenate([c.uncertainty[c.uncertainty > 0] for c in short])
        rms = 1e3 * np.sqrt(np.mean(values.astype(np.float64) ** 2))
        tolerance = 1e-5 if method == "linear" else 0.5  # other clips than those of the trial
        assert rms == pytest.approx(error["short"], rel=tolerance)


def test_equal_runs_are_equal_files_and_the_seed_is_in_the_uncertainty(settings, tmp_path):
    files = {}
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        out = tmp_path / f"{name}.h5"
        workflow.run(settings(out=out, seed=seed, method="reconstruction"))
        files[name] = sha256(out)
    assert files["a"] == files["b"] != files["c"]


def test_the_record_says_what_was_measured_and_done(settings, gaps):
    config = settings()
    report = workflow.run(config)
    with SequenceFile(config.out) as file:
        record = file.provenance[-1]
    assert record["command"] == "impute"
    assert set(record["inputs"]) == {"gaps.h5", "model.safetensors"}
    assert record["inputs"]["gaps.h5"] == sha256(gaps)
    assert [gap["method"] for gap in record["gaps"]] == [gap.method for gap in report.gaps]
    assert record["models"] == [{"name": config.models[0], "kind": "hgvae"}]
    beside = json.loads(run_record_path(config.out).read_text())
    assert beside["report"]["gaps"] == [gap.model_dump() for gap in report.gaps]


def test_a_resumed_run_ends_with_the_same_bytes(
    settings, tmp_path, small_shards, monkeypatch, make_prior
):
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    workflow.run(settings(out=whole))
    real, written = workflow.write_sequences, []

    def dying(path, *rest, **options):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return real(path, *rest, **options)

    monkeypatch.setattr(workflow, "write_sequences", dying)
    with pytest.raises(KeyboardInterrupt):
        workflow.run(settings(out=cut))
    monkeypatch.setattr(workflow, "write_sequences", real)
    with pytest.raises(UsageError, match="--resume"):
        workflow.run(settings(out=cut))
    with pytest.raises(UsageError, match="other settings"):
        workflow.run(settings(out=cut, seed=5), resume=True)
    with pytest.raises(UsageError, match="other settings"):
        other = str(make_prior("other", meta={"a": 1}))
        workflow.run(settings(out=cut, models=[other]), resume=True)
    monkeypatch.setattr(workflow, "try_methods", None)  # what was found lies beside the shards
    report = workflow.run(settings(out=cut), resume=True)
    assert report.resumed_shards == 2
    assert report.filled == report.missing
    assert sha256(whole) == sha256(cut)
    assert not cut.with_name("cut.h5.parts").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(settings, tmp_path):
    whole = settings(out=tmp_path / "whole.h5")
    cut = settings(out=tmp_path / "cut.h5", picture=tmp_path / "cut.png")
    code = (
        "import os, sys, signal; from pathlib import Path; from skelaug.workflows import impute\n"
        "from skelaug.workflows.imputation_report import ImputeConfig\n"
        "impute._SHARD, impute._CLIPS_AT_ONCE = 7, 3\n"
        "real, count = impute.write_sequences, []\n"
        "def write(*a, **o):\n"
        "    count.append(0)\n"
        "    str(len(count)) == sys.argv[2] and os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*a, **o)\n"
        "impute.write_sequences = write\n"
        "if sys.argv[2] == 'join':\n"
        "    impute.ShardFolder.join = lambda *a, **o: os.kill(os.getpid(), signal.SIGKILL)\n"
        "impute.run(ImputeConfig.model_validate_json(sys.argv[1]), resume=True, device='cpu')\n"
    )

    def call(config, die):
        command = [sys.executable, "-c", code, config.model_dump_json(), str(die)]
        return subprocess.run(command, check=False, env=os.environ).returncode

    assert call(whole, 0) == 0
    assert call(cut, 2) == -signal.SIGKILL
    assert call(cut, 2) == -signal.SIGKILL
    assert call(cut, "join") == -signal.SIGKILL
    assert cut.picture.exists()
    assert call(cut, 0) == 0
    assert sha256(whole.out) == sha256(cut.out)


def test_a_dry_run_measures_and_writes_nothing(settings, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    report = workflow.run(settings(picture=tmp_path / "a.png"), dry_run=True)
    assert report.dry_run
    assert (report.filled, report.imputed) == (0, 0)
    assert all(gap.errors for gap in report.gaps)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_without_gaps_is_written_as_it_is(settings, tmp_path, labelled_clips, write_file):
    data = write_file(tmp_path / "whole.h5", labelled_clips())
    report = workflow.run(settings(data=data, picture=tmp_path / "a.png"))
    assert report.gaps == []
    assert report.warnings[-1].startswith("nothing is missing")
    assert (report.picture, (tmp_path / "a.png").exists()) == (None, False)
    with SequenceFile(data) as before, SequenceFile(tmp_path / "out.h5") as after:
        for one, other in zip(before, after, strict=True):
            assert one.positions.tobytes() == other.positions.tobytes()
            assert (other.uncertainty == 0).all()
            assert other.source is one.source


def test_clips_of_nobody_are_listed_and_stay_empty(settings, tmp_path, make_sequence, write_file):
    clips = [
        make_sequence(name="empty", missing=1.0),
        hidden(make_sequence(name="one", frames=1), 4),
        hidden(make_sequence(name="good", frames=30), 0),
    ]
    data = write_file(tmp_path / "some.h5", clips, persons=2)
    config = settings(data=data)
    report = workflow.run(config)
    assert [one.name for one in report.rejected] == ["empty"]
    with SequenceFile(config.out) as file:
        assert np.isnan(file[0].positions).all()
        assert [clip.source for clip in file] == [Source.REAL, Source.REAL, Source.IMPUTED]
        assert np.isnan(file[2].positions[:, 1]).all()


def test_methods_along_time_need_no_model_and_say_what_they_leave(
    settings, tmp_path, labelled_clips, write_file
):
    clips = [hidden(clip, number) for number, clip in enumerate(labelled_clips(layout="sbu_15"))]
    data = write_file(tmp_path / "sbu.h5", clips)
    report = workflow.run(settings(data=data, method="cubic", models=()))
    assert report.models == []
    assert {e.method for gap in report.gaps for e in gap.errors} == {"hold", "linear", "cubic"}
    assert "joints that a clip never shows stay missing" in report.warnings[0]
    assert [gap.filled > 0 for gap in report.gaps] == [True, True, True, False]
    assert [gap.method for gap in report.gaps] == ["cubic", "cubic", "cubic", None]
    with SequenceFile(tmp_path / "out.h5") as file:
        never = file[3]
        assert np.isnan(never.positions[:, 0, 5]).all()
        assert np.isnan(never.uncertainty[:, 0, 5]).all()
        assert never.source is Source.REAL


def test_what_does_not_fit_is_refused_with_what_to_do(
    settings, tmp_path, labelled_clips, write_file, make_sequence, make_recognizer
):
    other = write_file(tmp_path / "sbu.h5", labelled_clips(layout="sbu_15"))
    for models in ([str(tmp_path / "prior")], []):
        with pytest.raises((DataError, NotFoundError), match="skelaug train hgvae") as caught:
            workflow.run(settings(data=other, models=models))
        assert ("--method linear" in str(caught.value)) == (not models)
    with pytest.raises(DataError, match="expected layout kinect_20"):
        workflow.run(settings(data=other, method="linear"))
    with pytest.raises(DataError, match="motion prior"):
        workflow.run(settings(models=[str(make_recognizer())]))
    clip = make_sequence()
    flat = clip.replaced(positions=clip.positions[..., :2])
    data = write_file(tmp_path / "flat.h5", [flat], channels=2)
    with pytest.raises(DataError, match="expected 3 coordinates per joint, got 2"):
        workflow.run(settings(data=data))
    with pytest.raises(DataError, match="expected clips, got none"):
        nothing = write_file(tmp_path / "none.h5", [clip])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SequenceFile, "__len__", lambda self: 0)
            workflow.run(settings(data=nothing))
    with pytest.raises(NotFoundError, match="nowhere"):
        workflow.run(settings(data=tmp_path / "nowhere.h5"))
    with pytest.raises(UsageError, match="is an input"):
        workflow.run(settings(out=tmp_path / "gaps.h5"), force=True)


def test_clips_of_another_tempo_than_a_model_knows_are_pointed_out(
    settings, tmp_path, make_sequence, write_file
):
    clips = [hidden(make_sequence(name=str(n), fps=10.0 + 20 * (n % 2)), 0) for n in range(4)]
    config = settings(data=write_file(tmp_path / "slow.h5", clips), trial_clips=0)
    (told,) = workflow.run(config).warnings
    assert told == (
        f"slow.h5: 2 clips are read at 10 frames per second, model {config.models[0]} knows 30: "
        f"their motions look faster than they are"
    )


def test_the_models_of_several_kinds_are_tried_and_named(settings, make_prior):
    main, other = str(make_prior("vae", kind="motion-vae")), str(make_prior())
    report = workflow.run(settings(models=[main, other]), dry_run=True)
    assert [(one.name, one.kind) for one in report.models] == [
        (main, "motion-vae"),
        (other, "hgvae"),
    ]
    for gap in report.gaps:
        tried = {one.method for one in gap.errors}
        assert {"ascent", "motion-vae", "hgvae"} < tried
        assert "hm-vae" not in tried


def test_a_method_named_by_a_kind_of_model_needs_one(settings, make_prior):
    for models in ([str(make_prior())], []):  # none given: the packaged one
        with pytest.raises(UsageError, match=r"kind, got hgvae; .*model\.name=motion-vae"):
            workflow.run(settings(models=models, method="motion-vae"))
    with pytest.raises(UsageError, match=r"got motion-vae; .*model\.name=hgvae"):
        vae = str(make_prior("vae", kind="motion-vae"))
        workflow.run(settings(models=[vae], method="hgvae"))
    with pytest.raises(UsageError, match="got two of kind motion-vae"):
        workflow.run(settings(models=[vae, vae]))


@pytest.mark.parametrize("last", ["draw_imputed", "write_run_record", "join"])
def test_a_run_that_dies_after_its_last_shard_goes_on_and_its_picture_is_its_own(
    settings, tmp_path, monkeypatch, last
):
    quick = {"trial_clips": 0, "method": "linear"}
    whole, cut = (
        settings(out=tmp_path / f"{name}.h5", picture=tmp_path / f"{name}.png", **quick)
        for name in ("whole", "cut")
    )
    workflow.run(whole)
    where = workflow.ShardFolder if last == "join" else workflow
    real = getattr(where, last)

    def dying(*given, **options):
        real(*given, **options) if last == "draw_imputed" else None
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, last, dying)
        with pytest.raises(KeyboardInterrupt):
            workflow.run(cut)
    assert cut.picture.exists()
    assert not cut.out.exists()
    report = workflow.run(cut, resume=True)
    assert (report.picture, report.filled) == (str(cut.picture), report.missing)
    assert sha256(whole.out) == sha256(cut.out)
    assert not cut.out.with_name("cut.h5.parts").exists()


def test_a_resumed_run_keeps_a_picture_that_is_not_its_own(
    settings, tmp_path, small_shards, monkeypatch
):
    config = settings(picture=tmp_path / "a.png", trial_clips=0, method="linear")
    with monkeypatch.context() as patch:
        patch.setattr(workflow, "draw_imputed", None)
        patch.setattr(workflow, "_CLIPS_AT_ONCE", None)
        with pytest.raises(TypeError):
            workflow.run(config)
    assert config.out.with_name("out.h5.parts").exists()
    config.picture.write_bytes(b"of somebody else")
    for options in ({"resume": True}, {}):
        with pytest.raises(UsageError, match=r"a\.png: already exists"):
            workflow.run(config, **options)
    assert config.picture.read_bytes() == b"of somebody else"
    other = config.model_copy(update={"picture": tmp_path / "b.png"})
    with monkeypatch.context() as patch:
        patch.setattr(workflow.ShardFolder, "join", None)
        with pytest.raises(TypeError):
            workflow.run(other, resume=True)
    with pytest.raises(UsageError, match=r"a\.png: already exists"):  # this run has drawn b.png
        workflow.run(config, resume=True)
    assert workflow.run(config, resume=True, force=True).picture == str(config.picture)
    assert config.picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_number_of_clips(tmp_path, make_prior, make_sequence):
    """Five times the clips need hardly more memory."""
    code = (
        "import resource, sys; from pathlib import Path; from skelaug.workflows import impute\n"
        "from skelaug.workflows.imputation_report import ImputeConfig\n"
        "impute.run(ImputeConfig.model_validate_json(sys.argv[1]), device='cpu')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    model, layout = make_prior(), make_sequence().layout

    def clips(count):
        for number in range(count):
            yield hidden(make_sequence(name=str(number), frames=60, seed=number), 1)

    def peak(count):
        data = tmp_path / f"{count}.h5"
        write_sequences(data, clips(count), Schema(layout, ("walk",)), provenance=[])
        told = {"data": data, "models": [str(model)], "trial_clips": 8, "steps": 1, "samples": 2}
        config = ImputeConfig(out=tmp_path / f"{count}.out.h5", method="reconstruction", **told)
        command = [sys.executable, "-c", code, config.model_dump_json()]
        # what was freed goes back at once, so that the peak is of what is in use
        given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        environment = {**os.environ, **given_back}
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
        return int(done.stdout)

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    frames = 60 * 20 * (12 + 1 + 4)  # bytes of a clip with what is said of it
    assert (peak(1500) - peak(300)) * unit < 0.5 * 1200 * frames
