"""How the error falls with the number of clips, and how many more a target accuracy needs.

The error follows a power law, error(n) = a n^-b with b >= 0 (Hestness et al. 2017, section 3, less
the constant, which a few sizes cannot tell from a small b). It is fitted by maximum likelihood:
with η_i = log a - b log n_i, w_i wrong and r_i right answers at n_i clips per class, ::

    log L(a, b) = Σ_i  w_i η_i + r_i log(1 - exp η_i)

which is concave in (log a, b). A class has few answers, so its own curve is drawn towards that of
all classes (a_0, b_0): ::

    log L(a, b) - (b - b_0)² / (2 τ²) + Σ_i [e_i η_i + (1 - e_i) log(1 - exp η_i)] / P

with τ = b_0 / 2 and e_i = a_0 n_i^-b_0 at its P points: as if the class had one more clip, which
errs as clips of all classes do.

How sure that is comes from answers simulated on the fitted curve and fitted again. Draws of clips
differ by more than chance: log error of draw d is η + u_d with u_d ~ Normal(0, σ²), σ² from the
draws' summed residuals. As σ is known from few draws only, every simulation has one of its own,
σ sqrt((D - 1) / χ²(D - 1)), which makes the intervals as wide as Student's. (The draws themselves,
drawn with replacement, would show a share (D - 1) / D of the variance, 2/3 of it for three.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.seeds import Stream, numpy_generator

__all__ = ["CurveFit", "CurvePoint", "Needed", "fit_class_curves", "fit_curve"]

LIMIT = 100.0
"""Times the clips that are there: beyond it a curve tells nothing."""

_STEEPEST = 4.0
_LEVELS = (-20.0, 14.0)  # of log(e / (1 - e)) at the smallest size
_FLAT, _TINY = 1e-5, 1e-300
_HALVINGS, _FIRST, _NEXT = 22, 14, 5  # of the slope; steps to the level at the first, the next
_SIMULATION = 3  # below Stream.BENCHMARK, after what is drawn in draws.py
_TAILS = (2.5, 97.5)

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class CurvePoint:
    """What one training answered.

    Attributes:
        clips: Clips per class that it learned from.
        right: Validation clips that it recognised.
        wrong: Validation clips that it did not.
        draw: The draw of clips that it learned from.
    """

    clips: float
    right: float
    wrong: float
    draw: int = 0


@dataclass(frozen=True)
class Needed:
    """Clips per class beyond those that are there.

    Attributes:
        more: The estimate, rounded up; None = out of reach as far as the curve tells.
        low: Lower end of the 95 % interval.
        high: Upper end; None = no end below `LIMIT` times the clips that are there.
    """

    more: int | None
    low: int
    high: int | None


@dataclass(frozen=True, eq=False)
class CurveFit:
    """A power law with its simulations.

    Attributes:
        a: Error at one clip per class; more than 1 where the law does not hold that far down.
        b: The slope, 0 or more.
        sigma: Standard deviation of the log error between draws, beyond chance.
        drawn: log a and b of the simulations, 2 B.
    """

    a: float
    b: float
    sigma: float
    drawn: _Array

    @property
    def is_flat(self) -> bool:
        """Whether the slope cannot be told from 0: its 95 % interval begins there."""
        return bool(np.percentile(self.drawn[1], _TAILS[0]) < _FLAT)

    def accuracy(self, clips: float | _Array) -> _Array:
        """1 - a n^-b, at least 0.

        Args:
            clips: Per class.
        """
        n = np.asarray(clips, dtype=np.float64)
        return 1 - np.minimum(1.0, self.a * n**-self.b)

    def band(self, clips: float | _Array) -> tuple[_Array, _Array]:
        """Ends of the 95 % interval of the accuracy at each number of clips.

        Args:
            clips: Per class.
        """
        n = np.asarray(clips, dtype=np.float64)
        log_a, b = self.drawn[:, :, None] if n.ndim else self.drawn
        errors = np.exp(np.minimum(0.0, log_a - b * np.log(n)))
        high, low = np.percentile(errors, _TAILS, axis=0)
        return 1 - low, 1 - high

    def needed(self, target: float, have: float) -> Needed:
        """Clips per class that reach a target accuracy, beyond those that are there.

        n = (a / (1 - target))^(1 / b). None of it is needed where the curve is there already. It
        is out of reach where the slope cannot be told from 0, or n is above `LIMIT` times `have`.

        Args:
            target: Accuracy, between 0 and 1.
            have: Clips per class.

        Raises:
            ValueError: The target is not between 0 and 1, or there are no clips.
        """
        if not 0 < target < 1:
            raise ValueError(f"target: expected a fraction between 0 and 1, got {target:g}")
        if have <= 0:
            raise ValueError(f"have: expected more than 0 clips, got {have:g}")
        log_error, most = math.log(1 - target), math.log(LIMIT * have)
        ends = np.minimum(_log_clips(self.drawn[0], self.drawn[1], log_error), most)
        # of the ordered simulations, not between two of them: one may be without end
        low, high = np.percentile(ends, _TAILS, method="closest_observation")
        mid = float(_log_clips(np.array([math.log(self.a)]), np.array([self.b]), log_error)[0])
        out = mid > most or (self.is_flat and mid > math.log(have))
        return Needed(
            more=None if out else _beyond(mid, have),
            low=_beyond(float(low), have),
            high=None if high >= most else _beyond(float(high), have),
        )


def fit_curve(points: Sequence[CurvePoint], *, seed: int = 0, simulations: int = 400) -> CurveFit:
    """The power law that these answers are likeliest under; see the module for the equations.

    Args:
        points: At two sizes or more.
        seed: Of the simulations.
        simulations: Their number.

    Raises:
        ValueError: There are not two sizes, or a point has no answer or no clips.
    """
    x, wrong, total, draws = _columns(points)
    if len(np.unique(x)) < 2:
        raise ValueError(f"points: expected two sizes or more, got {len(np.unique(x))}")
    least = float(x.min())
    h, b = (float(v) for v in _fit(x - least, wrong, total - wrong))
    errors = np.exp(h - b * (x - least))
    sigma = _spread(errors, wrong, total, draws)
    random = numpy_generator(seed, Stream.BENCHMARK, _SIMULATION)
    again = _simulated(errors, total, draws, sigma, random, simulations)
    drawn = np.stack(_fit(x - least, again, total - again))
    drawn[0] += drawn[1] * least
    return CurveFit(math.exp(h + b * least), b, sigma, drawn)


def fit_class_curves(
    overall: CurveFit, points: Mapping[str, Sequence[CurvePoint]], *, seed: int = 0
) -> dict[str, CurveFit]:
    """The curve of each class, drawn towards that of all; see the module for the equations.

    Each simulation is drawn towards a simulation of the overall curve, so that the intervals know
    how sure that is. One size is enough here.

    Args:
        overall: Fitted to all classes.
        points: Of each class; its clips are those of the class.
        seed: Of the simulations.

    Raises:
        ValueError: A class has no point, or a point has no answer or no clips.
    """
    found = {}
    log_a, b = math.log(overall.a), overall.b
    for number, (label, own) in enumerate(points.items()):
        x, wrong, total, draws = _columns(own)
        least = float(x.min())
        at = _fit_towards(x, wrong, total - wrong, np.array([log_a]), np.array([b]))
        h, slope = (float(value[0]) for value in at)
        errors = np.exp(h - slope * (x - least))
        random = numpy_generator(seed, Stream.BENCHMARK, _SIMULATION, number)
        size = overall.drawn.shape[1]
        again = _simulated(errors, total, draws, overall.sigma, random, size)
        drawn = np.stack(_fit_towards(x, again, total - again, *overall.drawn))
        drawn[0] += drawn[1] * least
        found[label] = CurveFit(math.exp(h + slope * least), slope, overall.sigma, drawn)
    return found


def _columns(points: Sequence[CurvePoint]) -> tuple[_Array, _Array, _Array, NDArray[np.int64]]:
    """Log clips, wrong answers, all answers and draw of each point."""
    if not points:
        raise ValueError("points: expected some, got none")
    for point in points:
        if point.clips <= 0 or point.right + point.wrong <= 0 or min(point.right, point.wrong) < 0:
            raise ValueError(f"points: expected clips and answers, got {point}")
    x = np.log([point.clips for point in points])
    wrong = np.array([point.wrong for point in points], dtype=np.float64)
    right = np.array([point.right for point in points], dtype=np.float64)
    return x, wrong, wrong + right, np.array([point.draw for point in points])


def _fit_towards(
    x: _Array, wrong: _Array, right: _Array, log_a: _Array, b: _Array
) -> tuple[_Array, _Array]:
    """Curves of a class, P points, drawn towards B overall curves: h and b, B."""
    errors = np.exp(np.minimum(-_FLAT, log_a[:, None] - b[:, None] * x))
    share = 1 / len(x)
    more = wrong + share * errors, right + share * (1 - errors)
    return _fit(x - x.min(), *more, towards=b)


def _fit(
    x: _Array, wrong: _Array, right: _Array, towards: _Array | None = None
) -> tuple[_Array, _Array]:
    """The maxima of log L over h = η at x = 0 and b, where its derivatives vanish.

    Args:
        x: log n - log of the smallest n; P.
        wrong: Wrong answers; ... P.
        right: Right answers; ... P.
        towards: Slopes that the slopes are drawn to; ...

    Returns:
        h and b, ...
    """
    x, place = np.unique(x, return_inverse=True)  # answers at one size count together
    pooled = np.eye(len(x))[place]
    wrong, right = wrong @ pooled, right @ pooled
    shape = wrong.shape[:-1]

    answered = np.log(np.maximum(wrong.sum(-1), _TINY))

    def level(b: _Array, z: _Array, steps: int) -> tuple[_Array, _Array]:
        """Level of the maximum at these slopes, as z = log(e / (1 - e)), and the errors there.

        The derivative by h vanishes where F(z) = log Σ r e / (1 - e) - log Σ w does. F is nearly
        straight in z: Newton's steps, halvings of the bracket where they leave it.
        """
        low, high = np.full(shape, _LEVELS[0]), np.full(shape, _LEVELS[1])
        fall = np.exp(-b[..., None] * x)
        for _ in range(steps):
            top = 1 / (1 + np.exp(-z))
            errors = top[..., None] * fall
            odds = right * errors / (1 - errors)
            sums = np.maximum(odds.sum(-1), _TINY)
            gap = np.log(sums) - answered
            slope = (1 - top) * (odds / (1 - errors)).sum(-1) / sums
            low, high = np.where(gap < 0, z, low), np.where(gap < 0, high, z)
            step = z - gap / np.maximum(slope, _TINY)
            z = np.where((step > low) & (step < high), step, (low + high) / 2)
        return z, fall / (1 + np.exp(-z))[..., None]

    low, high = np.zeros(shape), np.full(shape, _STEEPEST)
    z, steps = np.zeros(shape), _FIRST
    for _ in range(_HALVINGS):
        b = (low + high) / 2
        z, errors = level(b, z, steps)
        # derivative of log L by b, which is flat in h there
        rise = ((right * errors / (1 - errors) - wrong) * x).sum(-1)
        if towards is not None:
            rise = rise - (b - towards) / np.maximum(towards / 2, _FLAT) ** 2
        is_below = rise > _FLAT
        low, high = np.where(is_below, b, low), np.where(is_below, high, b)
        steps = _NEXT
    b = np.where(high < _FLAT, 0.0, (low + high) / 2)
    z, errors = level(b, z, _FIRST)
    return -np.log1p(np.exp(-z)), b


def _spread(errors: _Array, wrong: _Array, total: _Array, draws: NDArray[np.int64]) -> float:
    """σ of u_d by moments: Var(Σ_i residual_di) = Σ_i m_i e_i (1 - e_i) + σ² (Σ_i m_i e_i)²."""
    ids = np.unique(draws)
    if len(ids) < 2:
        return 0.0
    own = draws == ids[:, None]
    residual = own @ (wrong - total * errors)
    chance = own @ (total * errors * (1 - errors))
    expected = own @ (total * errors)
    freedom = (len(ids) - 1) / len(ids)  # the curve goes through the middle of the draws
    excess = float((residual**2).sum() / freedom - chance.sum())
    return math.sqrt(max(0.0, excess) / float((expected**2).sum()))


def _simulated(
    errors: _Array,
    total: _Array,
    draws: NDArray[np.int64],
    sigma: float,
    random: np.random.Generator,
    count: int,
) -> _Array:
    """Wrong answers of so many simulated experiments, B P."""
    ids, place = np.unique(draws, return_inverse=True)
    freedom = max(1, len(ids) - 1)
    scale = sigma * np.sqrt(freedom / random.chisquare(freedom, (count, 1)))
    shift = scale * random.standard_normal((count, len(ids)))
    least = 0.5 / total.sum()  # no wrong answer is no proof that there can be none
    rates = np.maximum(errors, least) * np.exp(np.minimum(shift, 10.0))[:, place]
    whole = np.maximum(1, np.round(total)).astype(np.int64)
    wrong: _Array = random.binomial(whole, np.minimum(rates, 1.0)) * (total / whole)
    return wrong


def _log_clips(log_a: _Array, b: _Array, log_error: float) -> _Array:
    """Log n with error(n) = the wanted one; infinite where no n has it."""
    distance = log_a - log_error
    steep = np.maximum(b, _FLAT)
    found = np.where(b < _FLAT, np.where(distance > 0, np.inf, -np.inf), distance / steep)
    return np.asarray(found)


def _beyond(log_clips: float, have: float) -> int:
    """Clips beyond those that are there, rounded up."""
    if log_clips <= math.log(have):
        return 0
    return math.ceil(math.exp(log_clips) - have - 1e-9)
