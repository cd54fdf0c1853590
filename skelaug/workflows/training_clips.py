"""The training part of a data file: which clips, of which classes and performers, how long."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skelaug.data.splits import Split, selected, split_clips, split_hash
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.files import require_file, sha256
from skelaug.image.store import FORMAT as IMAGES_FORMAT
from skelaug.image.store import ImageFile
from skelaug.seeds import Stream, numpy_generator

__all__ = ["TrainingClips", "training_clips"]

_QUANTILES = 64
_FEW_IN_CLASS, _FEW = 5, 100


@dataclass(frozen=True, eq=False)
class TrainingClips:
    """The training part of a data file, before any image is made.

    Attributes:
        file: The sequences or images.
        sha256: Of the file.
        split: Which of its clips are the training part.
        labelled: For each clip of the file whether its class may be used; None = for all.
        only: The classes whose clips alone take part; None = all, and clips without a class.
    """

    file: SequenceFile | ImageFile
    sha256: str
    split: Split
    labelled: NDArray[np.bool_] | None = None
    only: tuple[str, ...] | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which clips of the file are the training part, ascending."""
        return self.split.train

    @property
    def inputs(self) -> dict[str, str]:
        """SHA-256 by file name."""
        return {self.file.path.name: self.sha256}

    @property
    def classes(self) -> tuple[str, ...]:
        """All class names of the file; some may have no clip in the training part."""
        return self.file.classes

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class of each training clip, -1 = unknown or not to be used."""
        labels = self.file.labels[self.rows].astype(np.int64)
        return labels if self.labelled is None else np.where(self.labelled[self.rows], labels, -1)

    @cached_property
    def subjects(self) -> list[int]:
        """The known performers of the training part."""
        return sorted({int(s) for s in self.file.subjects[self.rows] if s >= 0})

    @cached_property
    def counts(self) -> dict[str, int]:
        """Training clips of each class."""
        found = Counter(self.labels.tolist())
        return {name: found.get(index, 0) for index, name in enumerate(self.classes)}

    @property
    def unlabelled(self) -> int:
        """Training clips whose class is unknown or not to be used."""
        return int((self.labels < 0).sum())

    @property
    def performed(self) -> dict[str, list[int]]:
        """Of each class the known performers of its clips."""
        own = self.file.subjects[self.rows]
        found = {name: np.unique(own[self.labels == i]) for i, name in enumerate(self.classes)}
        return {name: [int(s) for s in some if s >= 0] for name, some in found.items()}

    @cached_property
    def leaked(self) -> frozenset[int]:
        """Test clips with the very positions of a clip outside the test part, as rows of the file.

        Empty for images. All clips are read once.
        """
        if not isinstance(self.file, SequenceFile):
            return frozenset()
        test, found = set(self.split.test.tolist()), self._digests
        outside = {digest for row, digest in found.items() if row not in test}
        return frozenset(row for row in test if found[row] in outside)

    @cached_property
    def _digests(self) -> dict[int, bytes]:
        """Of every clip of a sequence file."""
        if not isinstance(self.file, SequenceFile):
            return {}
        return {row: _digest(self.file, row) for row in range(len(self.file.names))}

    def tested_in(self, file: SequenceFile, rows: NDArray[np.int64]) -> list[str]:
        """Names of those clips of another file that have the very positions of a test clip.

        Args:
            file: Which.
            rows: Its clips that matter; all of them are read.
        """
        if not rows.size:
            return []
        tested = {self._digests[int(row)] for row in self.split.test} if self._digests else set()
        return [file.names[row] for row in rows.tolist() if _digest(file, row) in tested]

    @property
    def fps(self) -> float:
        """The most frequent frame rate."""
        values, counts = np.unique(self.file.fps[self.rows], return_counts=True)
        return float(values[counts.argmax()])

    @property
    def durations(self) -> dict[str, list[float]]:
        """Of each class the clips' lengths in seconds, rising; at most 64 quantiles of them.

        Under an empty name those of the clips without a label, if there are any.
        """
        seconds = self.file.durations[self.rows]
        table = {}
        for index, name in [*enumerate(self.classes), *([(-1, "")] if self.unlabelled else [])]:
            own = seconds[self.labels == index]
            shares = np.linspace(0, 1, min(len(own), _QUANTILES))
            table[name] = np.quantile(own, shares).round(4).tolist() if len(own) else []
        return table

    def of_classes(self, names: Sequence[str], *, test: bool = False) -> TrainingClips:
        """The clips of some classes alone; of the test part too, where `test` says so.

        Raises:
            DataError: No training clip is of these classes.
        """
        chosen = [index for index, name in enumerate(self.classes) if name in names]
        train, tested = (
            part[np.isin(self.file.labels[part], chosen)]
            for part in (self.split.train, self.split.test)
        )
        if not train.size:
            raise DataError(
                f"{self.file.path}: expected training clips of {_list(names)}, got none; check the "
                f"classes with `skelaug info`"
            )
        split = replace(
            self.split,
            train=train,
            test=tested if test else self.split.test,
            hash=split_hash([self.file.names[row] for row in train]),
        )
        return replace(self, split=split, only=tuple(self.classes[index] for index in chosen))

    def facts(self) -> dict[str, Any]:
        """What a checkpoint says about its data; plain JSON values, no paths."""
        told = {"rule": self.split.rule, "hash": self.split.hash}
        only = {} if self.only is None else {"classes": list(self.only)}
        return {
            "split": {**told, **only},
            "data": {
                "name": self.file.path.name,
                "sha256": self.sha256,
                "names": split_hash(self.file.names),
            },
            "clips": self.counts,
            "subjects": self.subjects,
            "fps": self.fps,
        }

    @property
    def warnings(self) -> list[str]:
        """What may make a model of this data a poor one."""
        few = [name for name, count in self.counts.items() if 0 < count < _FEW_IN_CLASS]
        wanted = self.classes if self.only is None else self.only
        none = [name for name in wanted if self.counts[name] == 0]
        found = []
        if len(self.rows) < _FEW:
            found.append(
                f"only {len(self.rows)} clips: a model may learn so few by heart; "
                f"{_FEW} or more are better"
            )
        if few:
            found.append(f"fewer than {_FEW_IN_CLASS} clips in {_list(few)}")
        if none:
            found.append(f"no clip at all in {_list(none)}")
        if self.unlabelled:
            found.append(f"{self.unlabelled} clips have no label")
        return [*self.split.notes, *found]


def _digest(file: SequenceFile, row: int) -> bytes:
    return hashlib.sha256(file[row].positions.tobytes()).digest()


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def training_clips(
    path: Path,
    *,
    split: str = "",
    test: str = "",
    labelled: str = "",
    fraction: float = 1.0,
    seed: int = 0,
) -> TrainingClips:
    """The training part of a sequence or images file.

    Args:
        path: The file.
        split: A protocol or a rule; its clips are the training part. Empty takes all.
        test: A rule; of the clips outside the training part these are the test part. Empty takes
            all of them.
        labelled: A rule; the training clips outside it count as unlabelled. Empty leaves labels.
        fraction: Share of every class of it that is used, one clip at least; the test part stays.
        seed: Decides which clips these are.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is neither kind of file, or no clip is left.
        UsageError: A rule is not understood.
    """
    require_file(path)
    file = ImageFile(path) if _format(path) == IMAGES_FORMAT else SequenceFile(path)
    if not file.names:
        raise DataError(f"{path}: expected clips to train on, got none; convert some first")
    parts = split_clips(file, split)
    if test:
        parts = replace(parts, test=_tested(file, parts, test))
    if fraction < 1:
        train = _share(parts.train, file.labels[parts.train], fraction, seed=seed)
        names = [file.names[row] for row in train]
        parts = replace(parts, train=train, hash=split_hash(names))
    return TrainingClips(file, sha256(path), parts, selected(file, labelled) if labelled else None)


def _tested(file: SequenceFile | ImageFile, parts: Split, rule: str) -> NDArray[np.int64]:
    """The clips that a rule names, outside the training part."""
    chosen = parts.test[selected(file, rule)[parts.test]]
    if not chosen.size:
        raise DataError(
            f"test={rule}: expected clips outside the training part of --split {parts.rule!r}, got "
            f"none; check both rules"
        )
    return chosen


def _share(
    rows: NDArray[np.int64], labels: NDArray[np.int32], fraction: float, *, seed: int
) -> NDArray[np.int64]:
    """A share of the clips of each class, rounded, at least one; ascending."""
    order = numpy_generator(seed, Stream.SPLIT).permutation(len(rows))
    kept = [
        order[labels[order] == label][: max(1, round(fraction * int((labels == label).sum())))]
        for label in np.unique(labels)
    ]
    return np.sort(rows[np.concatenate(kept)])


def _format(path: Path) -> str:
    """What the file says it is; nothing where HDF5 cannot open it."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format"))
    except OSError:
        return ""
