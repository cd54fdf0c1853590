"""Tables of how far imputation is off, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.metrics.root_mean_square import RootMeanSquare
from skelaug.workflows.completion_study import WITHOUT_NETWORK, Completions, completions, rivals
from skelaug.workflows.imputation_report import ImputeConfig
from skelaug.workflows.motion_prior import TrainedPrior, load_prior
from skelaug.workflows.study_occlusions import OCCLUSIONS, TIMED_OCCLUSIONS
from skelaug.workflows.study_windows import StudyWindows, whole_stretches, whole_windows

__all__ = ["Found", "completion_tables", "measure_completion"]

Found = Mapping[str, Mapping[str, Completions]]
"""By the name of a model, and by the occlusion."""

_Cell = Callable[[Completions, str], str]
_TRUTH = "truth"


def measure_completion(
    config: ImputeConfig,
    *,
    split: str = "",
    seconds: float | None = None,
    most: int | None = None,
) -> str:
    """Which clips were looked at, and `completion_tables` of them.

    One whole window of each test clip, or a stretch of so many seconds at the clip's own rate, is
    occluded and completed by all `rivals`.

    Args:
        config: Its `data` and `models`; steps and rate of the ascents.
        split: Whose test part is looked at; empty = all clips.
        seconds: Of a stretch; None takes windows of the model.
        most: At most so many clips, evenly spread; None = all.

    Raises:
        NotFoundError: The file or a model does not exist.
        DataError: A model knows other joints, or no clip is whole for so long.
        UsageError: The split is not understood.
    """
    found: dict[str, dict[str, Completions]] = {}
    looked = []
    with SequenceFile(config.data) as file:
        rows = split_clips(file, split).test.tolist() if split else range(len(file))
        for name in config.models:
            prior = load_prior(name)
            prior.check_clips(file.layout, file.channels, where=str(file.path))
            windows = _windows(file, rows, prior, seconds).spread(most)
            title = f"{Path(name).name} ({prior.kind})"
            looked.append(f"{title}, {config.data.name}: {windows}")
            fills = rivals(prior, config)
            found[title] = {
                what: completions(fills, windows, hide, file.layout)
                for what, hide in (TIMED_OCCLUSIONS if seconds else OCCLUSIONS).items()
            }
    return "\n".join(looked) + "\n\n" + completion_tables(found)


def _windows(
    file: SequenceFile, rows: Sequence[int], prior: TrainedPrior, seconds: float | None
) -> StudyWindows:
    if seconds:
        return whole_stretches(file, rows, seconds=seconds)
    return whole_windows(file, rows, frames=prior.form.frames, fps=prior.form.fps)


def completion_tables(found: Found) -> str:
    """Errors against the training mean, in millimetres and in square metres, and accelerations.

    What asks nothing of a network but the training mean is told of the first model alone. Of
    random entries there is no acceleration: their neighbours are measured.

    Args:
        found: The same occlusions of every model, `completions` of the methods of `rivals`.
    """
    bent = {
        model: {what: made for what, made in own.items() if not what.endswith("entries")}
        for model, own in found.items()
    }
    tables = [
        _table("squared error against the training mean, %", found, _decrease, leave_out="mean"),
        _table("root mean square error per coordinate, mm", found, _millimetres),
        _table("squared error of a clip, square metres", found, _square_metres),
    ]
    if any(bent.values()):
        title = "root mean square acceleration where something was hidden, m/s^2"
        tables.append(_table(title, bent, _acceleration, first=_TRUTH))
    return "\n\n".join(tables)


def _table(title: str, found: Found, cell: _Cell, *, first: str = "", leave_out: str = "") -> str:
    columns = [one for one in _columns(found, first) if one[2] != leave_out]
    head = [title, *(heading for heading, _, _ in columns)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for what in next(iter(found.values())):
        cells = [cell(found[model][what], method) for _, model, method in columns]
        lines.append(f"| {' | '.join([what, *cells])} |")
    return "\n".join(lines)


def _columns(found: Found, first: str) -> Iterator[tuple[str, str, str]]:
    """Heading, model and method of each row."""
    for number, (model, own) in enumerate(found.items()):
        if first and not number:
            yield first, model, first
        for method in next(iter(own.values())).methods:
            if method not in WITHOUT_NETWORK:
                yield f"{method}, {model}", model, method
            elif not number:
                yield method, model, method


def _decrease(made: Completions, method: str) -> str:
    change = made.decrease(method, against="mean")
    return f"{100 * change.mean:+.1f} ± {100 * change.half_width:.1f}"


def _millimetres(made: Completions, method: str) -> str:
    return _told(made.error(method), 1000)


def _square_metres(made: Completions, method: str) -> str:
    return f"{made.methods[method].errors.mean():.3g}"


def _acceleration(made: Completions, method: str) -> str:
    return _told(made.acceleration(None if method == _TRUTH else method), 1)


def _told(found: RootMeanSquare, unit: float) -> str:
    value, low, high = (unit * number for number in (found.value, found.low, found.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
