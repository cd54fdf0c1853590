"""Predictions as text: a JSON object per line, or a row of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pydantic import BaseModel

__all__ = ["Prediction", "csv_header", "csv_row", "json_line"]

_WHOLE = ("name",)
_WINDOW = ("name", "start_frame", "end_frame", "start_seconds", "end_seconds")
_SAID = ("label", "probability", "truth")


class Prediction(BaseModel, frozen=True):
    """What the models say of one clip, or of one window of it.

    Attributes:
        name: Of the clip.
        start_frame: First frame of the window; None for a whole clip.
        end_frame: The frame after its last one.
        start_seconds: Time of the first frame.
        end_seconds: Time of the frame after the last one.
        label: The most probable class.
        probability: Of that class.
        truth: The class that the file names; None where it names none.
        probabilities: By class, the most probable first; all classes, or the first few.
    """

    name: str
    start_frame: int | None = None
    end_frame: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    label: str
    probability: float
    truth: str | None = None
    probabilities: dict[str, float]


def json_line(prediction: Prediction) -> str:
    """The prediction as one line of JSON; what is None is left out."""
    return prediction.model_dump_json(exclude_none=True) + "\n"


def csv_header(classes: Sequence[str], *, windows: bool) -> str:
    """The line with the names of the columns: what is said of a clip, then a column per class.

    A class that is called like a column before it, e.g. ``label``, is written ``p(label)``.
    """
    fixed = (*(_WINDOW if windows else _WHOLE), *_SAID)
    return _row([*fixed, *(f"p({name})" if name in fixed else name for name in classes)])


def csv_row(prediction: Prediction, classes: Sequence[str], *, windows: bool) -> str:
    """The prediction as a line under `csv_header`; empty where there is nothing to say."""
    values = dict(prediction)
    said = [values[key] for key in (*(_WINDOW if windows else _WHOLE), *_SAID)]
    return _row([*said, *(prediction.probabilities.get(name) for name in classes)])


def _row(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["" if v is None else v for v in values])
    return text.getvalue()
