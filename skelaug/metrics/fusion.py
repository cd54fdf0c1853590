"""One score out of several recognizers or streams: logits added up clip by clip, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, UsageError

__all__ = ["fuse"]

_MOST = 3  # names that a message lists


def fuse(
    scores: Sequence[Mapping[str, NDArray[Any]]], weights: Sequence[float] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The weighted sum of the models' logits for every clip.

    Clips are matched by name, never by their place. Logits are added as they are, as in the codes
    of MS-G3D and CTR-GCN; of probabilities, confident models would count less.

    Args:
        scores: For each model, clip name to logits K.
        weights: One per model, at least 0 and not all 0; all 1 if None.

    Returns:
        Clip name to logits K, in the order of the first model's clips.

    Raises:
        UsageError: There is no model, or the weights do not fit the models.
        DataError: The models scored different clips or numbers of classes, or a logit is not
            finite.
    """
    factors = _checked(weights, len(scores))
    _check_names(scores)
    first, *others = [
        {name: np.asarray(logits, dtype=np.float64) for name, logits in score.items()}
        for score in scores
    ]
    for name, logits in first.items():
        rows = [logits, *(score[name] for score in others)]
        shapes = {row.shape for row in rows}
        if len(shapes) != 1 or logits.ndim != 1:
            sizes = " and ".join(str(list(row.shape)) for row in rows)
            raise DataError(
                f"clip {name!r}: expected one logit per class from every model, got {sizes}; "
                "fuse models of the same classes"
            )
        if not all(np.isfinite(row).all() for row in rows):
            raise DataError(f"clip {name!r}: expected finite logits, got NaN or infinity")
    return {
        name: np.asarray(
            sum(
                factor * score[name]
                for factor, score in zip(factors, [first, *others], strict=True)
            )
        )
        for name in first
    }


def _checked(weights: Sequence[float] | None, models: int) -> list[float]:
    if models == 0:
        raise UsageError("fusion: expected the scores of at least one model, got none")
    factors = [1.0] * models if weights is None else [float(weight) for weight in weights]
    if len(factors) != models:
        raise UsageError(
            f"fusion weights: expected {models}, one per model, got {len(factors)}: {factors}"
        )
    if not all(np.isfinite(factors)) or min(factors) < 0 or not any(factors):
        raise UsageError(
            f"fusion weights: expected finite numbers of at least 0, one of them above, "
            f"got {factors}"
        )
    return factors


def _check_names(scores: Sequence[Mapping[str, object]]) -> None:
    everyone = list(dict.fromkeys(name for score in scores for name in score))
    faults = []
    for number, score in enumerate(scores, start=1):
        missing = [name for name in everyone if name not in score]
        if missing:
            named = ", ".join(repr(name) for name in missing[:_MOST])
            more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
            faults.append(f"model {number} lacks {named}{more}")
    if faults:
        raise DataError(
            f"fusion: expected scores of the same clips from every model, got: "
            f"{'; '.join(faults)}; run `skelaug predict` for all models on the same file"
        )
