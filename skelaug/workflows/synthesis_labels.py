"""What ``skelaug synth`` draws: the class of every sample, and how long clips of a class last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from skelaug.data.labels import match_labels
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, UsageError
from skelaug.seeds import Stream, numpy_generator
from skelaug.workflows.synthesis_report import SynthesizeConfig
from skelaug.workflows.weak_classes import WeakClass, read_confusion, weak_classes

__all__ = ["real_durations", "wanted_labels", "weak_of"]


def weak_of(config: SynthesizeConfig, classes: Sequence[str]) -> list[WeakClass]:
    """What ``where_it_hurts`` finds, restricted to the labels asked for; empty where it is not set.

    Raises:
        NotFoundError: The run or a label does not exist, or the run keeps no confusion matrix.
        UsageError: Nothing was mistaken, the model lacks a class, or `like` says something else.
        DataError: The run's scores are damaged.
    """
    if config.where_it_hurts is None:
        return []
    if config.like is not None or config.balance_to is not None:
        flag = "--like" if config.like is not None else "--balance-to"
        raise UsageError(
            f"--where-it-hurts: expected to be the only one that divides the clips, got {flag} "
            f"too; leave one of them out"
        )
    confusion = read_confusion(config.where_it_hurts)
    weak = weak_classes(confusion, labels=match_labels(config.labels, classes), total=config.n)
    unknown = [one.label for one in weak if one.label not in classes]
    if unknown:
        raise UsageError(
            f"--where-it-hurts {config.where_it_hurts}: expected classes of the model, got "
            f"{unknown[0]!r}, unknown to it; name the classes to draw with --label"
        )
    return weak


def wanted_labels(
    config: SynthesizeConfig,
    classes: Sequence[str],
    like: SequenceFile | None,
    weak: Sequence[WeakClass] = (),
) -> list[int]:
    """The class of every sample, as an index into the model's classes.

    Args:
        config: The settings.
        classes: Of the model.
        like: The file whose mix is matched.
        weak: From `weak_of`.

    Raises:
        NotFoundError: A label is no class of the model.
        UsageError: No class is asked for, or nothing is left to fill up.
        DataError: The `like` file has classes that the model lacks.
    """
    if weak:
        return _mixed([(classes.index(one.label), one.clips) for one in weak])
    wanted = match_labels(config.labels, classes)
    if config.balance_to is not None and like is None:
        raise UsageError("--balance-to: expected a file to fill up, got none; add --like DATA.h5")
    if like is None:
        if not wanted:
            raise UsageError(
                "--label: expected at least one class, got none; `skelaug models NAME` lists "
                "them, --like DATA.h5 takes those of a file"
            )
        return [classes.index(label) for _ in range(config.n or 100) for label in wanted]
    mix = [like.label_name(i) for i in range(len(like)) if like.label_name(i)]
    mix = [label for label in mix if not wanted or label in wanted]
    unknown = sorted(set(mix) - set(classes))
    if unknown or not mix:
        which = f"class {unknown[0]!r}, unknown to the model" if unknown else "no clip of a class"
        raise DataError(f"{like.path}: expected classes of the model, got {which}; add --label")
    if config.balance_to is not None:
        counts = Counter(mix)
        lacking = {label: max(0, config.balance_to - counts[label]) for label in sorted(counts)}
        drawn = [classes.index(label) for label, count in lacking.items() for _ in range(count)]
        if not drawn:
            raise UsageError(
                f"--balance-to {config.balance_to}: every class of {like.path} has as many"
            )
        return drawn
    order = numpy_generator(config.seed, Stream.SPLIT).permutation(len(mix))
    total = config.n or len(mix)
    return [classes.index(mix[order[i % len(mix)]]) for i in range(total)]


def _mixed(counts: Sequence[tuple[int, int]]) -> list[int]:
    """Each class so many times, evenly spread, so that the first clips show the same mix."""
    places = [((k + 0.5) / count, label) for label, count in counts for k in range(count)]
    return [label for _, label in sorted(places)]


def real_durations(
    meta: Mapping[str, Any], classes: Sequence[str], like: SequenceFile | None
) -> dict[str, list[float]]:
    """Durations of real clips in seconds by class: the `like` file's, else the training clips'.

    A class without any takes those of all clips, of the clips without a label too.
    """
    durations = {name: list(meta["durations"].get(name, ())) for name in classes}
    if like is not None:
        for name in set(like.classes) & set(classes):
            chosen = like.durations[like.labels == like.classes.index(name)]
            durations[name] = [float(seconds) for seconds in chosen] or durations[name]
    some_clips = [*durations.values(), meta["durations"].get("", ())]
    everything = [seconds for some in some_clips for seconds in some] or [2.0]
    return {name: some or everything for name, some in durations.items()}
