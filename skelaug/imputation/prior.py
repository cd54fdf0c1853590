"""What imputation asks of a model of motion: its posterior, its prior and its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from torch import Tensor

__all__ = [
    "Density",
    "DiagonalGaussian",
    "LatentLevel",
    "MotionInference",
    "MotionPrior",
    "WindowDensities",
    "check_evaluation_mode",
]


Density = Literal["joint", "posterior"]
"""Which of the log-densities: see `WindowDensities`."""


class DiagonalGaussian(Protocol):
    """Normal distributions, independent in every entry."""

    @property
    def mean(self) -> Tensor:
        """The means, any shape."""
        ...

    @property
    def logvar(self) -> Tensor:
        """Natural logarithm of the variances, the shape of the means."""
        ...


class LatentLevel(Protocol):
    """One level of the latent variables, as inferred from a window."""

    @property
    def posterior(self) -> DiagonalGaussian:
        """q(z_l | x, z above)."""
        ...

    @property
    def prior(self) -> DiagonalGaussian:
        """p(z_l | z above)."""
        ...

    @property
    def z(self) -> Tensor:
        """The value that the levels below were given: the posterior's mean, or a draw."""
        ...

    @property
    def is_stochastic(self) -> bool:
        """False for a level that is switched off: z is the mean of its prior."""
        ...


class MotionInference(Protocol):
    """The latent levels of windows and the distribution of the windows given them."""

    @property
    def levels(self) -> Sequence[LatentLevel]:
        """From the top, z0, downwards."""
        ...

    @property
    def output(self) -> DiagonalGaussian:
        """Of the windows, N nodes frames, standardised, in time."""
        ...


class WindowDensities(Protocol):
    """Log-densities of each window at the means of the posterior, nats, N."""

    @property
    def joint(self) -> Tensor:
        """Log p(x, z): of the window and of its latent variables."""
        ...

    @property
    def posterior(self) -> Tensor:
        """Log p(z), summed over the levels: what Bourached et al. 2022 write p(z | x)."""
        ...


class MotionPrior(Protocol):
    """A generative model of windows of motion.

    Windows are N nodes frames, standardised, in the time domain; node 3 v + c is coordinate c of
    joint v. Labels are int64 N, ignored by a model that was trained without. `seen` is a mask of
    the windows: the encoder reads them where it is True, and elsewhere curves between (0, the
    mean, where a node was never seen).
    """

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The flat size of the noise of one draw from all levels, top first."""
        ...

    @property
    def reads_mask(self) -> bool:
        """Whether the encoder can tell what it was not shown from a measured 0."""
        ...

    def infer(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> MotionInference:
        """Latent levels and output of windows; without noise (N size) along the posterior means."""
        ...

    def log_densities(self, x: Tensor, labels: Tensor | None = None) -> WindowDensities:
        """How much windows look like what was learnt, from one pass; differentiable in x."""
        ...

    def reconstruct(
        self,
        x: Tensor,
        *,
        seen: Tensor | None = None,
        labels: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> DiagonalGaussian:
        """The whole windows, given what was seen of them: N nodes frames."""
        ...

    def sample(
        self, noise: Tensor, labels: Tensor | None = None, drawn_levels: int | None = None
    ) -> Tensor:
        """New windows N nodes frames: z0 to z_r drawn, the levels below at their prior means."""
        ...


def check_evaluation_mode(prior: MotionPrior) -> None:
    """Refuse a network in training mode, in which a window's result depends on the others.

    Raises:
        ValueError: It is in training mode.
    """
    if getattr(prior, "training", False):
        raise ValueError("prior: expected evaluation mode, got training mode; call eval()")
