"""What `skelaug train` adds to the promises of every command."""

from __future__ import annotations

import json

import pytest

SMALL = [
    *("--set", "optimisation.steps=2", "--set", "optimisation.batch=4"),
    *("--set", "model.arguments={width: 16, depth: 1, heads: 2}"),
]


def test_what_cannot_be_trained_is_named_with_what_can(skelaug):
    failed = skelaug("train", "guid", "data.h5", "--out", "run")
    assert failed.code == 5
    assert "train guid: nothing of that name can be trained; did you mean 'guide'?" in failed.error


def test_training_shows_results_on_stdout_and_talk_on_stderr(skelaug, sandbox):
    done = skelaug("train", "diffusion", "data.h5", "--out", "run", *SMALL)
    assert done.code == 0, done.err
    assert "trained a diffusion model: run" in done.out
    assert "warning: only 24 clips" in done.err
    assert "training: 2 of 2" in done.err
    refused = skelaug("train", "diffusion", "data.h5", "--out", "run", *SMALL)
    assert refused.code == 2
    assert "--resume" in refused.error
    again = skelaug("train", "diffusion", "data.h5", "--out", "run", "--resume", "--json", "-q")
    document = json.loads(again.out)
    assert (document["what"], document["steps"], document["resumed_at"]) == ("diffusion", 2, 2)
    other = skelaug("train", "diffusion", "data.h5", "--out", "run", "--resume", "--seed", "4")
    assert other.code == 2
    assert "seed is 0 there and 4 now" in other.error


def test_the_flags_stand_above_set_config_and_preset(skelaug, sandbox):
    (sandbox / "run.yaml").write_text("seed: 1\nsplit: subject=1\nlog_every: 7")
    done = skelaug(
        *("train", "diffusion", "data.h5", "--out", "run", "--config", "run.yaml"),
        *("--set", "seed=2", "--seed", "3", *SMALL, "--dry-run", "--json"),
    )
    assert done.code == 0, done.err
    document = json.loads(done.out)
    resolved = document["config"]
    assert (resolved["seed"], resolved["split"], resolved["log_every"]) == (3, "subject=1", 7)
    assert resolved["optimisation"]["lr"] == 0.001  # the preset's
    assert document["dry_run"] is True
    assert document["estimated_seconds"] > 0
    assert not (sandbox / "run").exists()


def test_a_dry_run_prints_the_resolved_configuration(skelaug):
    done = skelaug("train", "diffusion", "data.h5", "--out", "run", *SMALL, "--dry-run")
    assert "would train a diffusion model into run" in done.out
    assert "estimated minutes" in done.out
    assert "parameterization: v" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--preset", "papr"], 5, "did you mean 'paper'?"),
        (["--set", "optimisation.step=3"], 2, "did you mean 'steps'?"),
        (["--set", "steps"], 2, "expected a.b=value"),
        (["--config", "none.yaml"], 5, "check --config"),
        (["--split", "subject=7"], 2, "there are 1, 2, 3"),
        (["--device", "toaster"], 4, "try --device cpu"),
    ],
)
def test_mistakes_end_in_one_line_with_the_right_code(skelaug, sandbox, arguments, code, message):
    failed = skelaug("train", "diffusion", "data.h5", "--out", "run", *SMALL, *arguments)
    assert failed.code == code
    assert message in failed.error
    assert not (sandbox / "run").exists()


def test_a_file_of_another_kind_is_bad_input(skelaug, sandbox):
    failed = skelaug("train", "diffusion", "poses.npz", "--out", "run")
    assert failed.code == 3
    missing = skelaug("train", "guide", "none.h5", "--out", "run")
    assert missing.code == 5
