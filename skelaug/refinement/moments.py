"""What is summed up over clips to model their errors: moments to order two, and four of the error.

All sums are central and float64 and are merged as Pébay 2008 (SAND2008-6212) merges them, so that
neither the order nor the chunks of the clips matter but for rounding, and a mean far from zero
costs no digits. Letters: n clips, t frames, v joints, a and b the numbers of a
frame that belong to the error and to what it is conditioned on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skelaug.errors import DataError
from skelaug.shapes import check_shape

__all__ = ["CoMoments", "Moments", "Normality", "condition_rows", "normality", "pose_rows"]


def pose_rows(poses: Tensor, root: int) -> Tensor:
    """Poses N T V 3 as rows N T 3(V - 1) without the root, which is the origin in every frame."""
    return torch.cat([poses[:, :, :root], poses[:, :, root + 1 :]], dim=2).flatten(2)


def condition_rows(poses: Tensor, keypoints: Tensor | None, root: int) -> Tensor:
    """What an error is conditioned on, ``b = [y, x]``, as rows N T b.

    Args:
        poses: x, N T V 3, metres, relative to the root.
        keypoints: y, N T V 2, normalised, all joints; None where there are none.
        root: Index of the root.
    """
    rows = pose_rows(poses, root)
    return rows if keypoints is None else torch.cat([keypoints.flatten(2), rows], dim=-1)


@dataclass(frozen=True, eq=False)
class CoMoments:
    """Pairs of rows (x, y): how many, their means, and ``sum (x - mean x)(y - mean y)^T``.

    Attributes:
        count: Number of pairs.
        mean_x: Mean of the first.
        mean_y: Mean of the second.
        scatter: Their sum of products, x by y.
    """

    count: int
    mean_x: Tensor
    mean_y: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> CoMoments:
        """Those of rows n x and n y, float64."""
        count = len(x)
        mean_x, mean_y = (side.sum(0) / max(count, 1) for side in (x, y))
        return cls(count, mean_x, mean_y, (x - mean_x).T @ (y - mean_y))

    def merged(self, other: CoMoments) -> CoMoments:
        """Those of both (Pébay 2008, the update of a co-moment)."""
        count = self.count + other.count
        share = other.count / max(count, 1)
        dx, dy = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        return CoMoments(
            count,
            self.mean_x + share * dx,
            self.mean_y + share * dy,
            self.scatter + other.scatter + self.count * share * torch.outer(dx, dy),
        )

    @property
    def covariance(self) -> Tensor:
        """The covariance of x and y, the mean over the pairs; x by y."""
        return self.scatter / self.count


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of errors a and of what they are conditioned on, b; ``+`` merges those of more clips.

    Attributes:
        joints: Number of joints V.
        root: Index of the root, which is left out of a and of the poses in b.
        with_keypoints: Whether b holds 2D poses.
        frame: Of [a, b] of a frame.
        step: Of [a, b] of a frame and of the frame after it.
        third: Sum of the cubes of the errors less their mean, a.
        fourth: Sum of their fourth powers, a.
    """

    joints: int
    root: int
    with_keypoints: bool
    frame: CoMoments
    step: CoMoments
    third: Tensor
    fourth: Tensor

    @classmethod
    def of(
        cls, errors: Tensor, poses: Tensor, keypoints: Tensor | None = None, *, root: int
    ) -> Moments:
        """Those of the frames of clips; a frame in which a number is not finite is left out.

        Args:
            errors: N T V 3, metres: noisy poses less the clean ones.
            poses: What the errors are conditioned on, N T V 3, metres: the noisy poses to refine
                them (Eq. 5), or the clean ones to make noisy poses of others.
            keypoints: The 2D poses that belong to them, N T V 2, normalised.
            root: Index of the root, at which errors and poses are 0.

        Raises:
            ValueError: Sizes differ, or a root is not at the origin.
        """
        check_shape(errors, "N T V C", what="errors", C=3)
        n, t, v, _ = errors.shape
        check_shape(poses, "N T V C", what="poses", N=n, T=t, V=v, C=3)
        if keypoints is not None:
            check_shape(keypoints, "N T V C", what="keypoints", N=n, T=t, V=v, C=2)
        for what, x in (("errors", errors), ("poses", poses)):
            if bool((x[:, :, root].nan_to_num() != 0).any()):
                raise ValueError(f"{what}: expected joint {root}, the root, at 0, got it elsewhere")
        a = pose_rows(errors, root).double()
        rows = torch.cat([a, condition_rows(poses, keypoints, root).double()], dim=-1)
        whole = rows.isfinite().all(-1)
        both = whole[:, :-1] & whole[:, 1:]
        centred = a[whole] - a[whole].sum(0) / max(int(whole.sum()), 1)
        return cls(
            joints=v,
            root=root,
            with_keypoints=keypoints is not None,
            frame=CoMoments.of(rows[whole], rows[whole]),
            step=CoMoments.of(rows[:, :-1][both], rows[:, 1:][both]),
            third=(centred**3).sum(0),
            fourth=(centred**4).sum(0),
        )

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.frame.count

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of a frame in the error and in the condition."""
        return len(self.third), len(self.frame.mean_x) - len(self.third)

    def __add__(self, other: Moments) -> Moments:
        """The moments of both; they must be of the same joints.

        Raises:
            ValueError: They are not.
        """
        kind, others = (
            (moments.joints, moments.root, moments.with_keypoints) for moments in (self, other)
        )
        if kind != others:
            raise ValueError(
                f"moments: expected those of (joints, root, with keypoints) {kind}, got {others}"
            )
        third, fourth = _merged_powers(self, other)
        return Moments(
            *kind,
            frame=self.frame.merged(other.frame),
            step=self.step.merged(other.step),
            third=third,
            fourth=fourth,
        )


def _merged_powers(one: Moments, two: Moments) -> tuple[Tensor, Tensor]:
    """Sums of cubes and fourth powers about the mean of both (Pébay 2008, orders 3 and 4)."""
    size = len(one.third)
    n, m = float(one.count), float(two.count)  # their fifth powers leave the integers of tensors
    d = (two.frame.mean_x - one.frame.mean_x)[:size] / max(n + m, 1)
    s1, s2 = (moments.frame.scatter.diagonal()[:size] for moments in (one, two))
    third = one.third + two.third + n * m * (n - m) * (n + m) * d**3 + 3 * d * (n * s2 - m * s1)
    fourth = (
        one.fourth
        + two.fourth
        + n * m * (n * n - n * m + m * m) * (n + m) * d**4
        + 6 * d**2 * (n * n * s2 + m * m * s1)
        + 4 * d * (n * two.third - m * one.third)
    )
    return third, fourth


class Normality(NamedTuple):
    """How far errors are from Gaussian; a Gaussian has 0 in both, and NaN stands at the root.

    Attributes:
        skewness: Third standardised moment, V 3.
        excess_kurtosis: Fourth standardised moment less 3, V 3; above 0 for heavy tails.
    """

    skewness: Tensor
    excess_kurtosis: Tensor


def normality(moments: Moments) -> Normality:
    """Skewness and excess kurtosis of each coordinate of the errors.

    Yan et al. model the error as Gaussian because the histogram of each of its coordinates looks
    like one (sec. III-B); these numbers say how much it does.

    Raises:
        DataError: There are no frames.
    """
    if not moments.count:
        raise DataError("normality: expected frames of errors, got none")
    variance = moments.frame.covariance.diagonal()[: len(moments.third)]
    skewness = moments.third / moments.count / variance**1.5
    kurtosis = moments.fourth / moments.count / variance**2 - 3
    return Normality(*(_joints(rows, moments) for rows in (skewness, kurtosis)))


def _joints(row: Tensor, moments: Moments) -> Tensor:
    """A row of the error, a, as joints V 3 with NaN at the root."""
    joints = row.new_full((moments.joints, 3), torch.nan)
    joints[torch.arange(moments.joints) != moments.root] = row.view(-1, 3)
    return joints
