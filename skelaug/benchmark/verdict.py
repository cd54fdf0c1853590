"""One sentence: did the synthetic data help?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from skelaug.benchmark.scores import Gain, Measure, Row

__all__ = ["Verdict", "row_name", "verdict_of"]

_LEVEL = 0.05
_FEW = 5  # draws below which the sentence asks for more
_WHAT = {"accuracy": "accuracy", "rare_accuracy": "accuracy on the rare classes"}
_UNITS = {
    "incremental": "% more clips",
    "replacement": "% of the clips replaced",
    "filling": "% of what rare classes lack filled up",
}

Mode = Literal["replacement", "incremental", "filling"]
Outcome = Literal["helped", "hurt", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What a benchmark says about synthetic data.

    Attributes:
        outcome: ``helped``, ``hurt`` or ``undecided``.
        sentence: The same with its numbers.
        gain: The gain that decided; None without any.
    """

    outcome: Outcome
    sentence: str
    gain: Gain | None = None


def verdict_of(
    gains: Sequence[Gain], *, mode: Mode = "incremental", measure: Measure = "accuracy"
) -> Verdict:
    """The verdict on the synthetic rows against their best rivals.

    ``helped``: a row gains, and its p-value after Holm's correction for all synthetic rows is below
    0.05 (so its 95 % interval lies above 0). ``hurt``: the best row loses likewise, and with it all
    that synthesis could offer. Anything else is undecided. Upper bounds have no say.

    Args:
        gains: Of `skelaug.benchmark.scores.gains_over_best`.
        mode: What a ratio is, which is how it is worded.
        measure: What was compared.
    """
    family = [gain for gain in gains if gain.corrected_p is not None]
    if not family:
        sentence = "It is undecided whether synthetic data helped: no two finished rows to compare."
        return Verdict("undecided", sentence)
    up = [gain for gain in family if _is_sure(gain) and gain.difference.mean > 0]
    down = [gain for gain in family if _is_sure(gain) and gain.difference.mean < 0]
    most = max(gain.difference.count for gain in family)
    whole = [gain for gain in family if gain.difference.count == most]
    best = max(up or whole, key=lambda gain: gain.difference.mean)
    row, rival = row_name(best.row, mode=mode), row_name(best.rival, mode=mode)
    points = f"{100 * best.difference.mean:+.1f} points of {_WHAT[measure]}"
    against = f"{rival}, the best without synthetic clips"
    outcome: Outcome = "undecided"
    if up:
        outcome, claim = "helped", f"Synthetic data helped: {row} gains {points} over {against}"
    elif best in down:
        which = "even the best row, " if len(family) > 1 else ""
        outcome = "hurt"
        claim = f"Synthetic data hurt: {which}{row}, changes {points} against {against}"
    else:
        which = "the best row, " if len(family) > 1 else ""
        claim = (
            f"It is undecided whether synthetic data helped: {which}{row}, changes {points} "
            f"against {against}"
        )
    others = f"; {len(down)} of the {len(family)} rows hurt" if down and outcome != "hurt" else ""
    sentence = f"{claim} ({_evidence(best, len(family))}){others}."
    return Verdict(outcome, sentence, best)


def row_name(row: Row, *, mode: Mode = "incremental") -> str:
    """A row in words, e.g. ``'synthetic' with 50 % more clips (CTR-GCN)``."""
    ratio = f" with {100 * row.ratio:g} {_UNITS[mode]}" if row.ratio else ""
    return f"'{row.arm}'{ratio}" + (f" ({row.recognizer})" if row.recognizer else "")


def _is_sure(gain: Gain) -> bool:
    return gain.corrected_p is not None and gain.corrected_p < _LEVEL


def _evidence(gain: Gain, family: int) -> str:
    found = gain.difference
    if found.count == 1:
        return "a single draw of clips, which can show nothing"
    interval = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    corrected = f", {gain.corrected_p:.2g} after Holm's correction for {family} rows"
    few = ", which are few" if found.count < _FEW else ""
    return (
        f"{interval}, p = {found.p:.2g}{corrected if family > 1 else ''}, "
        f"paired over {found.count} draws{few}"
    )
