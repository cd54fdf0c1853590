"""The error of a pose as a Gaussian conditioned on the pose (Yan et al., D3PRefiner, sec. III-B).

With a the error of a frame and b = [y, x] its 2D and 3D pose::

    mu_a|b = mu_a + S_ab S_bb^-1 (b - mu_b)          Eq. 5
    S_a|b  = S_aa - S_ab S_bb^-1 S_ba                Eq. 6

The paper does not say over what it takes the covariances; here it is one frame. Its errors are
white in time, while those of a lifter are smooth: as an option the errors of neighbouring frames
are correlated, z_t = rho z_{t-1} + sqrt(1 - rho^2) n_t in front of the Cholesky factor of S_a|b.
A depth sensor's trunk errs slowly and its hands from frame to frame, which no one rho says: then
z_t = K z_{t-1} + (1 - K K^T)^1/2 n_t, with a matrix K that leaves S_a|b what it is.
Poses are relative to the root, so that S_bb and S_a|b would be singular: the root is left out, and
a small ridge lies on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from skelaug.errors import DataError
from skelaug.refinement.moments import CoMoments, Moments, condition_rows
from skelaug.shapes import check_shape

__all__ = ["NoiseModel", "fit_noise_model"]

_TENSORS = ("mean_error", "mean_condition", "regression", "cholesky")
_LONGEST = 0.999  # the largest singular value of K


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """q(a | b) of each frame, and how errors of neighbouring frames are correlated.

    Attributes:
        joints: Number of joints V.
        root: Index of the root; a pose's error there is 0.
        with_keypoints: Whether b holds 2D poses.
        mean_error: mu_a, a = 3 (V - 1), metres, float64 as all of these.
        mean_condition: mu_b, b.
        regression: S_ab S_bb^-1, a b.
        cholesky: Lower Cholesky factor of S_a|b, a a, metres.
        persistence: rho, 0 to 1, the correlation of z from one frame to the next; 0 is white noise,
            as in the paper. It holds for the frame rate of the clips that it was fitted to.
        transition: K, a a, in place of rho, with singular values below 1; None where there is none.
    """

    joints: int
    root: int
    with_keypoints: bool
    mean_error: Tensor
    mean_condition: Tensor
    regression: Tensor
    cholesky: Tensor
    persistence: float = 0.0
    transition: Tensor | None = None

    def __post_init__(self) -> None:
        a, b = 3 * (self.joints - 1), (2 * self.joints if self.with_keypoints else 0)
        check_shape(self.mean_error, "a", what="mean_error", a=a)
        check_shape(self.mean_condition, "b", what="mean_condition", b=a + b)
        check_shape(self.regression, "a b", what="regression", a=a, b=a + b)
        check_shape(self.cholesky, "a d", what="cholesky", a=a, d=a)
        if not 0 <= self.persistence <= 1:
            raise ValueError(f"persistence: expected 0 to 1, got {self.persistence}")
        if self.transition is not None:
            check_shape(self.transition, "a d", what="transition", a=a, d=a)

    @property
    def size(self) -> int:
        """Numbers of a frame in the error, 3 (V - 1): those of the noise that `draw` takes."""
        return len(self.mean_error)

    def expected_error(self, poses: Tensor, keypoints: Tensor | None = None) -> Tensor:
        """mu_a|b (Eq. 5), N T V 3 in metres: the linear regression of the error on [y, x].

        A noisy pose less this is what a plain linear corrector makes of it.

        Args:
            poses: N T V 3, metres, relative to the root.
            keypoints: N T V 2, normalised, if and only if the model is `with_keypoints`.

        Raises:
            ValueError: The sizes are others, or 2D poses are missing or not wanted.
        """
        return self._joints(self._expected(poses, keypoints))

    def draw(self, poses: Tensor, keypoints: Tensor | None = None, *, noise: Tensor) -> Tensor:
        """An error from N(mu_a|b, S_a|b), N T V 3 in metres.

        Args:
            poses: N T V 3, metres, relative to the root.
            keypoints: N T V 2, normalised, if and only if the model is `with_keypoints`.
            noise: Standard normal, N T a with a = `size`.

        Raises:
            ValueError: The sizes are others, or 2D poses are missing or not wanted.
        """
        expected = self._expected(poses, keypoints)
        n, t, a = expected.shape
        check_shape(noise, "N T a", what="noise", N=n, T=t, a=a)
        z = _persistent(noise, self.persistence, self.transition)
        return self._joints(expected + z @ self.cholesky.T.to(expected))

    def _expected(self, poses: Tensor, keypoints: Tensor | None) -> Tensor:
        """mu_a|b as rows N T a."""
        check_shape(poses, "N T V C", what="poses", V=self.joints, C=3)
        if (keypoints is not None) != self.with_keypoints:
            wanted, got = ("some", "none") if self.with_keypoints else ("none", "some")
            raise ValueError(f"keypoints: expected {wanted}, got {got}")
        if keypoints is not None:
            n, t = poses.shape[:2]
            check_shape(keypoints, "N T V C", what="keypoints", N=n, T=t, V=self.joints, C=2)
        b = condition_rows(poses, keypoints, self.root) - self.mean_condition.to(poses)
        return self.mean_error.to(poses) + b @ self.regression.T.to(poses)

    def _joints(self, rows: Tensor) -> Tensor:
        """Rows N T a as joints N T V 3, the root's all 0."""
        joints = rows.reshape(*rows.shape[:2], -1, 3)
        origin = torch.zeros_like(rows[:, :, None, :3])
        return torch.cat([joints[:, :, : self.root], origin, joints[:, :, self.root :]], dim=2)

    def to_tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, for a checkpoint's weights."""
        own = {name: getattr(self, name) for name in _TENSORS}
        return own if self.transition is None else {**own, "transition": self.transition}

    def to_json(self) -> dict[str, Any]:
        """The rest of it as plain JSON values, for a checkpoint's header."""
        return {
            "joints": self.joints,
            "root": self.root,
            "with_keypoints": self.with_keypoints,
            "persistence": self.persistence,
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, Tensor], data: Mapping[str, Any]) -> NoiseModel:
        """The model that `to_tensors` and `to_json` took apart.

        Raises:
            DataError: Something is missing or does not fit.
        """
        try:
            return cls(
                joints=int(data["joints"]),
                root=int(data["root"]),
                with_keypoints=bool(data["with_keypoints"]),
                persistence=float(data["persistence"]),
                **{name: tensors[name].double() for name in _TENSORS},
                transition=tensors["transition"].double() if "transition" in tensors else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"noise model: expected its tensors and sizes, got {error!r}"
            ) from error


def fit_noise_model(
    moments: Moments,
    *,
    ridge: float = 1e-6,
    persistent: bool | Literal["matrix"] = False,
    given_pose: bool = True,
) -> NoiseModel:
    """The Gaussian with these moments (Eq. 5 and 6), all in float64.

    Args:
        moments: Of errors and of what they are conditioned on.
        ridge: How much is added to the diagonals of S_bb and S_a|b, in shares of their mean.
        persistent: Whether neighbouring frames' errors are correlated, by as much as those were: by
            one number, or ``matrix``, each coordinate with all of them.
        given_pose: Whether the error depends on the pose; without it the regression is 0 and S_a|b
            is S_aa. What depends on the pose holds for the bodies and headings it was fitted to.

    Raises:
        DataError: There are fewer frames than numbers in a frame, or no errors.
    """
    a, b = moments.sizes
    if moments.count <= a + b:
        raise DataError(
            f"noise model: expected more frames than the {a + b} numbers of a frame, "
            f"got {moments.count}; fit it to more clips"
        )
    mean, joint = moments.frame.mean_x, moments.frame.covariance
    if not bool((joint.diagonal()[:a] > 0).any()):
        raise DataError(
            f"noise model: expected errors that vary, got the same in all {moments.count} frames; "
            "give it noisy poses and the clean ones that belong to them"
        )
    s_aa, s_ab, s_bb = joint[:a, :a], joint[:a, a:], joint[a:, a:]
    regression = torch.zeros_like(s_ab)
    if given_pose:
        regression = torch.cholesky_solve(s_ab.T, torch.linalg.cholesky(_ridged(s_bb, ridge))).T
    rest = s_aa - regression @ s_ab.T  # Eq. 6
    cholesky = torch.linalg.cholesky(_ridged((rest + rest.T) / 2, ridge))
    return NoiseModel(
        joints=moments.joints,
        root=moments.root,
        with_keypoints=moments.with_keypoints,
        mean_error=mean[:a],
        mean_condition=mean[a:],
        regression=regression,
        cholesky=cholesky,
        persistence=_persistence(moments, regression) if persistent is True else 0.0,
        transition=_transition(moments, regression, cholesky) if persistent == "matrix" else None,
    )


def _ridged(covariance: Tensor, ridge: float) -> Tensor:
    variance = covariance.diagonal()
    return covariance + torch.diag(ridge * variance.mean().expand_as(variance))


def _persistence(moments: Moments, regression: Tensor) -> float:
    """How much of the variance of a - mu_a|b one frame shares with the next, 0 to 1.

    That is linear in [a, b], so the moments of a frame and the next one say it. Less than none
    counts as none.
    """
    if not moments.step.count:
        return 0.0
    variance, lagged = (
        torch.trace(_of_rest(part, regression)) for part in (moments.frame, moments.step)
    )
    return float((lagged / variance).clamp(0, 1))


def _transition(moments: Moments, regression: Tensor, cholesky: Tensor) -> Tensor:
    """K = E[z_t z_{t-1}^T] with z = L^-1 (a - mu_a|b) and L the Cholesky factor.

    Short clips may say more than all that is possible: singular values are held below 1.
    """
    if not moments.step.count:
        return torch.zeros_like(cholesky)
    lagged = _of_rest(moments.step, regression).T
    left = torch.linalg.solve_triangular(cholesky, lagged, upper=False)
    k = torch.linalg.solve_triangular(cholesky, left.T, upper=False).T
    u, sizes, v = torch.linalg.svd(k)
    held: Tensor = u @ torch.diag(sizes.clamp(max=_LONGEST)) @ v
    return held


def _of_rest(part: CoMoments, regression: Tensor) -> Tensor:
    """The covariance of a - mu_a|b, which is linear in [a, b], with itself or the next frame's."""
    rest = torch.cat([torch.eye(len(regression)).to(regression), -regression], dim=1)
    return rest @ part.covariance @ rest.T


def _persistent(noise: Tensor, rho: float, transition: Tensor | None) -> Tensor:
    """White noise N T a as noise of the same spread whose neighbouring frames are correlated."""
    if transition is None and rho == 0:
        return noise
    a = noise.shape[-1]
    k = rho * torch.eye(a, dtype=torch.float64) if transition is None else transition
    u, sizes, _ = torch.linalg.svd(k)
    fresh = u @ torch.diag((1 - sizes.square()).sqrt()) @ u.T  # (1 - K K^T)^1/2
    z, *rest = noise.unbind(1)
    kept = [z]
    for new in rest:
        z = z @ k.T.to(noise) + new @ fresh.T.to(noise)
        kept.append(z)
    return torch.stack(kept, dim=1)
