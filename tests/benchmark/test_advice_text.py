"""A probe in words: each outcome has its sentence, and the commands are ones that exist."""

from __future__ import annotations

import shlex

import pytest
import typer

from skelaug.benchmark.advice import (
    Ahead,
    ClassAdvice,
    Expected,
    Findings,
    synthesis_advice,
)
from skelaug.benchmark.advice_text import advice_headline, advice_sentences, next_commands
from skelaug.benchmark.scores import CellScore
from skelaug.cli.app import app
from skelaug.metrics.paired import paired_difference

NOW = Expected(mean=0.82, low=0.75, high=0.88)


def said(more, low, high, **fields):
    one = ClassAdvice(
        label="kick", clips=10, accuracy=NOW, needed=Ahead(more=more, low=low, high=high)
    )
    found = Findings(10.0, (one,), NOW, Ahead(more=more, low=low, high=high), **fields)
    return advice_sentences(found, target=0.9, draws=3)


def scores(synthetic, classical=(0.5, 0.6, 0.7), ratio=1.0):
    common = {"repeat": 0, "class_accuracy": {}, "chance": 0.1, "steps": 5, "seconds": 1.0}
    return [
        CellScore(arm=arm, ratio=r, seed=seed, accuracy=value, is_synthetic=r > 0, **common)
        for arm, r, values in (("classical", 0.0, classical), ("synthetic", ratio, synthetic))
        for seed, value in enumerate(values)
    ]


def test_the_clips_that_are_missing_are_said_with_their_interval():
    sentences = said(20, 5, 60)
    assert "expect 82 % on new clips (95 % interval 75 % to 88 %)" in sentences[0]
    assert "about 20 more clips per class, 20 in all (95 % interval 5 to 60" in sentences[1]
    assert "'kick' 82 % (about 20 more, 5 to 60)" in sentences[2]
    assert said(20, 5, None)[1].endswith("(95 % interval 5 or more per class).")


def test_a_target_that_is_reached_names_no_class():
    sentences = said(0, 0, 4)
    assert len(sentences) == 2
    assert sentences[1].startswith("90 % is reached with what is there, though perhaps 0 to 4")


def test_a_target_out_of_reach_has_a_least_number():
    assert "out of reach as far as the curve tells" in said(None, 30, None)[1]
    assert "at least 30 more per class" in said(None, 30, None)[1]
    assert "at least" not in said(None, 0, None)[1]


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (None, ""),
        (Ahead(more=None, low=3, high=None), "out of reach"),
        (Ahead(more=0, low=0, high=0), "is reached"),
        (Ahead(more=7, low=3, high=9), "about 7 more clips per class (3 to 9)"),
    ],
)
def test_the_headline_says_the_same_in_short(needed, words):
    assert words in advice_headline(needed, target=0.9)


@pytest.mark.parametrize(
    ("synthetic", "outcome", "words"),
    [
        ((0.6, 0.71, 0.8), "helped", "it helps"),
        ((0.4, 0.51, 0.6), "hurt", "it hurts"),
        ((0.6, 0.5, 0.7), "undecided", "which decides nothing"),
    ],
)
def test_the_gain_of_synthesis_is_the_paired_one_with_its_interval(synthetic, outcome, words):
    advice, found = synthesis_advice(scores(synthetic), "diffusion")
    expected = paired_difference(synthetic, (0.5, 0.6, 0.7))
    assert found == outcome
    assert advice[0].gain.mean == pytest.approx(expected.mean)
    assert advice[0].gain.half_width == pytest.approx(expected.half_width)
    sentence = said(0, 0, 0, synthesis=advice, outcome=found)[-1]
    assert words in sentence
    assert f"{100 * expected.low:+.1f} ... {100 * expected.high:+.1f} points" in sentence
    assert "1 synthetic clip per real one" in sentence


def test_one_draw_decides_nothing():
    advice, outcome = synthesis_advice(scores((0.9,), (0.5,)), "diffusion")
    assert (outcome, advice[0].gain.half_width, advice[0].p) == ("undecided", None, None)
    assert "can show nothing" in said(0, 0, 0, synthesis=advice, outcome=outcome)[-1]


def test_real_clips_alone_say_nothing_of_synthesis():
    assert synthesis_advice(scores(()), "diffusion") == ((), None)


@pytest.mark.parametrize("outcome", [None, "helped", "hurt", "undecided"])
def test_the_commands_to_go_on_with_are_ones_that_parse(outcome):
    lines = next_commands(
        "my data.h5", rule="subject=1,2", out="a/b", weak=["sit [slow]"], count=30, outcome=outcome
    )
    commands = typer.main.get_command(app).commands
    names = []
    for line in lines:
        program, name, *arguments = shlex.split(line)
        assert program == "skelaug"
        commands[name].make_context(name, arguments)
        names.append(name)
    synthesis = ["train", "synth", "train"]
    expected = {"hurt": ["bench"], "helped": [*synthesis, "bench"]}
    assert names == expected.get(outcome, ["bench", *synthesis])
