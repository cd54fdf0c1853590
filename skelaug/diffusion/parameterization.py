"""What a network predicts (noise, clean signal or velocity), and the one thing samplers see: x0.

Samplers, guidance and clamps only know a `Denoiser`. `as_denoiser` turns a network into one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from skelaug.diffusion.schedule import Schedule, like

__all__ = [
    "KINDS",
    "Denoiser",
    "Estimate",
    "Kind",
    "Network",
    "as_denoiser",
    "eps_from",
    "noised",
    "prediction_from",
    "split_output",
    "target_from",
    "x0_from",
]

Kind = Literal["eps", "x0", "v"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Estimate(NamedTuple):
    """What a denoiser knows about a noisy sample.

    Attributes:
        x0: Estimate of the clean sample, shaped like it.
        log_variance_weight: Learned weight w in about 0..1, shaped like x0, of the next step's
            ``log variance = w log beta + (1 - w) log beta-tilde``; None when not learned.
    """

    x0: Tensor
    log_variance_weight: Tensor | None = None


class Denoiser(Protocol):
    """Estimates the clean sample from a noisy one."""

    def __call__(self, x: Tensor, alpha_bar: Tensor, /) -> Estimate:
        """Estimate x0 from x (N ...) at noise levels alpha_bar (N, float64, on the CPU)."""
        ...


class Network(Protocol):
    """A trained network: any of the three kinds of prediction."""

    def __call__(self, x: Tensor, step: Tensor, labels: Tensor | None, /) -> Tensor:
        """Predict from x (N C R F), step (N, float, original index), labels (N, int64, or None)."""
        ...


def noised(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """A draw of q(x_t | x0): the clean sample with its share of noise (Ho et al. 2020, eq. 4)."""
    return like(alpha_bar.sqrt(), x0) * x0 + like((1 - alpha_bar).sqrt(), x0) * noise


def target_from(x0: Tensor, noise: Tensor, alpha_bar: Tensor, *, kind: Kind) -> Tensor:
    """What a network of this kind should predict for ``noised(x0, noise, alpha_bar)``.

    ``eps``: the noise (Ho et al. 2020); ``x0``: the clean sample; ``v``:
    ``sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x0`` (Salimans & Ho 2022, app. D).
    """
    if kind == "eps":
        return noise
    if kind == "x0":
        return x0
    return like(alpha_bar.sqrt(), x0) * noise - like((1 - alpha_bar).sqrt(), x0) * x0


def x0_from(prediction: Tensor, x: Tensor, alpha_bar: Tensor, *, kind: Kind) -> Tensor:
    """The clean sample that a prediction at x stands for.

    ``eps``: Ho et al. 2020, eq. 15 (the paper on skeleton images prints sqrt(alpha) in its eq. 5;
    inverting its eq. 2 gives sqrt(alpha_bar)); ``v``: Salimans & Ho 2022, app. D.
    """
    if kind == "eps":
        return (x - like((1 - alpha_bar).sqrt(), x) * prediction) / like(alpha_bar.sqrt(), x)
    if kind == "x0":
        return prediction
    return like(alpha_bar.sqrt(), x) * x - like((1 - alpha_bar).sqrt(), x) * prediction


def eps_from(x0: Tensor, x: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that turned x0 into x: the inverse of `noised`."""
    return (x - like(alpha_bar.sqrt(), x) * x0) / like((1 - alpha_bar).sqrt(), x)


def prediction_from(x0: Tensor, x: Tensor, alpha_bar: Tensor, *, kind: Kind) -> Tensor:
    """The prediction that stands for x0 at x: the inverse of `x0_from`."""
    return target_from(x0, eps_from(x0, x, alpha_bar), alpha_bar, kind=kind)


def split_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """A network's 2C channels as its prediction and the log-variance weight, C channels each.

    The second half v lies in about -1..1; the weight is ``(v + 1) / 2``, unclamped (Nichol &
    Dhariwal 2021, eq. 15 and code).
    """
    prediction, v = output.chunk(2, dim=1)
    return prediction, (v + 1) / 2


def as_denoiser(
    network: Network,
    schedule: Schedule,
    *,
    kind: Kind,
    labels: Tensor | None = None,
    learned_variance: bool = False,
    clamp: Callable[[Tensor], Tensor] | None = None,
) -> Denoiser:
    """A denoiser from a network: its kind, step numbering, labels and range are settled here.

    Args:
        network: Called as ``network(x, step, labels)`` with x in float32 and the original step,
            fractional between two levels of the schedule.
        schedule: The schedule that the network was trained with.
        kind: What the network predicts.
        labels: One label per sample, handed to the network as it is.
        learned_variance: The network has 2C output channels, the second half as in `split_output`.
        clamp: Applied to the estimate of x0, e.g. a clamp to the range of the data.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")

    def denoise(x: Tensor, alpha_bar: Tensor, /) -> Estimate:
        step = schedule.step_of(alpha_bar).to(device=x.device, dtype=torch.float32)
        output = network(x.float(), step, labels).to(x.dtype)
        prediction, weight = split_output(output) if learned_variance else (output, None)
        x0 = x0_from(prediction, x, alpha_bar, kind=kind)
        return Estimate(clamp(x0) if clamp else x0, weight)

    return denoise
