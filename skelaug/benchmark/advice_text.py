"""A probe in words: what it comes to, and the commands to go on with."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from skelaug.benchmark.advice import Ahead, ClassAdvice, Findings, SynthesisAdvice
from skelaug.benchmark.learning_curve import LIMIT
from skelaug.benchmark.verdict import Outcome

__all__ = ["advice_headline", "advice_sentences", "next_commands", "range_text"]

_SHOWN = 5


def advice_sentences(what: Findings, *, target: float, draws: int) -> tuple[str, ...]:
    """What the probe comes to, one sentence on each thing that it looked at.

    Args:
        what: Was found.
        target: Accuracy wanted.
        draws: Of clips.
    """
    have, accuracy, needed = what.clips_per_class, what.accuracy, what.needed
    found = []
    if accuracy is not None and needed is not None:
        found.append(
            f"With the {have:.3g} clips per class that are there, expect {_percent(accuracy.mean)} "
            f"on new clips (95 % interval {_percent(accuracy.low)} to {_percent(accuracy.high)})."
        )
        found.append(_needed_sentence(target, have, needed, len(what.classes)))
        weak = [one for one in what.classes if one.needed.more != 0]
        if weak:
            names = ", ".join(_class_words(one) for one in weak[:_SHOWN])
            more = f" and {len(weak) - _SHOWN} more" if len(weak) > _SHOWN else ""
            found.append(f"Classes short of {_percent(target)}: {names}{more}.")
    if what.synthesis and what.outcome is not None:
        found.append(_synthesis_sentence(what.synthesis, what.outcome, draws))
    return tuple(found)


def advice_headline(needed: Ahead | None, *, target: float) -> str:
    """The clips that a target takes, in a line; nothing where that is not known."""
    if needed is None:
        return ""
    if needed.more is None:
        return f"{_percent(target)} is out of reach as far as the curve tells"
    if needed.more == 0:
        return f"{_percent(target)} is reached"
    return (
        f"{_percent(target)} takes about {needed.more} more clips per class ({range_text(needed)})"
    )


def _needed_sentence(target: float, have: float, needed: Ahead, classes: int) -> str:
    goal = _percent(target)
    if needed.more == 0:
        rest = "" if needed.high == 0 else f", though perhaps {range_text(needed)} more are needed"
        return f"{goal} is reached with what is there{rest}."
    if needed.more is None:
        at_least = f"; at least {needed.low} more per class" if needed.low else ""
        return (
            f"{goal} is out of reach as far as the curve tells: it is flat within its interval, or "
            f"takes more than {LIMIT:g} times the clips that are there{at_least}."
        )
    total = f", {needed.more * classes} in all" if classes else ""
    return (
        f"{goal} takes about {needed.more} more clips per class{total} (95 % interval "
        f"{range_text(needed)} per class)."
    )


def _class_words(one: ClassAdvice) -> str:
    more = "no number in sight" if one.needed.more is None else f"about {one.needed.more} more"
    return f"{one.label!r} {_percent(one.accuracy.mean)} ({more}, {range_text(one.needed)})"


def _synthesis_sentence(synthesis: Sequence[SynthesisAdvice], outcome: Outcome, draws: int) -> str:
    best = max(synthesis, key=lambda one: one.gain.mean)
    which = f"{best.ratio:g} synthetic clip{'' if best.ratio == 1 else 's'} per real one"
    which += f", the best of {len(synthesis)} ratios" if len(synthesis) > 1 else ""
    if best.gain.half_width is None or not math.isfinite(best.gain.half_width):
        return (
            f"Synthesis gave {100 * best.gain.mean:+.1f} points on this file ({which}; a single "
            f"draw of clips, which can show nothing)."
        )
    low, high = (best.gain.mean + sign * best.gain.half_width for sign in (-1, 1))
    ends = {"helped": "it helps", "hurt": "it hurts", "undecided": "which decides nothing"}
    return (
        f"Synthesis is expected to give {100 * low:+.1f} ... {100 * high:+.1f} points on this file "
        f"({which}; 95 % interval over {draws} draws of clips): {ends[outcome]}."
    )


def next_commands(
    data: str,
    *,
    rule: str,
    out: str,
    weak: Sequence[str],
    count: int,
    outcome: Outcome | None,
) -> tuple[str, ...]:
    """Commands to go on with, as they are typed.

    Args:
        data: The sequence file.
        rule: A split with two parts.
        out: Folder that new folders lie beside.
        weak: Classes short of the target, the weakest first.
        count: Synthetic clips of each class.
        outcome: Of the probe's synthesis; None without any.
    """
    parent = Path(out).parent
    sure = [
        "skelaug",
        "bench",
        "incremental",
        data,
        "--split",
        rule,
        "--out",
        str(parent / "bench"),
    ]
    sure += ["--fraction", "1", "--arm", "classical", "--arm", "synthetic+classical"]
    found = [sure]
    if outcome != "hurt":
        model, clips = str(parent / "generator"), str(parent / "synthetic.h5")
        labels = [word for label in weak for word in ("--label", label)]
        last = ["--extra", clips, "--out", str(parent / "recognizer")]
        found += [
            ["skelaug", "train", "diffusion", data, "--split", rule, "--out", model],
            ["skelaug", "synth", *labels, "--n", str(count), "--model", model, "-o", clips],
            ["skelaug", "train", "recognizer", data, "--split", rule, *last],
        ]
    if outcome == "helped":
        found = [*found[1:], sure]
    return tuple(shlex.join(words) for words in found)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def range_text(needed: Ahead) -> str:
    """The interval of the clips that are needed, e.g. ``3 to 40``."""
    return f"{needed.low} or more" if needed.high is None else f"{needed.low} to {needed.high}"
