"""Long jobs write shards (``OUT.h5.parts/00007.h5``, each whole or absent) and join them.

A killed job resumes at the first missing shard. The plan beside the shards names the job they
belong to, so that shards of two different commands are never joined.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, UsageError
from skelaug.files import write_text
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["ShardFolder"]


class ShardFolder:
    """The shards of one output file.

    Args:
        out: The file that the shards will become.
        count: Number of shards of the whole job.
        plan: What decides the content; shards under another plan are refused.
    """

    def __init__(self, out: Path, *, count: int, plan: Mapping[str, Any]) -> None:
        self.out = out
        self.count = count
        self.folder = out.with_name(out.name + ".parts")
        self._plan = json.dumps({"shards": count, **plan}, sort_keys=True, indent=1)

    def open(self, *, resume: bool, force: bool = False) -> None:
        """Create the folder and its plan, or take up the one that is there.

        Args:
            resume: Go on with the shards that are there.
            force: Remove shards that cannot be gone on with, instead of refusing them.

        Raises:
            UsageError: Shards are there and `resume` is not set, or they belong to another plan.
        """
        plan = self.folder / "plan.json"
        if plan.exists() and force and not (resume and self._is_planned(plan)):
            self.remove()
        if plan.exists():
            if not resume:
                raise UsageError(
                    f"{self.folder}: holds shards of an unfinished run; "
                    f"add --resume to go on or --force to start anew"
                )
            if not self._is_planned(plan):
                raise UsageError(
                    f"{self.folder}: the shards belong to other settings or inputs; "
                    f"give the same ones, or --force to start anew"
                )
        else:
            write_text(plan, self._plan)

    def _is_planned(self, plan: Path) -> bool:
        return plan.read_text(encoding="utf-8") == self._plan

    def path(self, index: int) -> Path:
        """Path of shard `index`, whether or not it exists."""
        return self.folder / f"{index:05d}.h5"

    def missing(self) -> list[int]:
        """Indices of the shards that are still to be written."""
        return [index for index in range(self.count) if not self.path(index).exists()]

    def _clips(self) -> Iterator[SkeletonSequence]:
        for index in range(self.count):
            with SequenceFile(self.path(index)) as shard:
                yield from shard

    def join(
        self,
        *,
        classes: Sequence[str],
        provenance: Sequence[Mapping[str, Any]],
    ) -> int:
        """Write the output from all shards, remove them, and return the number of clips.

        The output has confidence, uncertainty or keypoints if a shard has.

        Raises:
            DataError: A shard is missing or two shards differ in layout.
        """
        if self.missing():
            raise DataError(f"{self.folder}: shard {self.missing()[0]} is missing; add --resume")
        persons, channels, layout = 1, 3, None
        has_confidence = has_uncertainty = has_keypoints = False
        for index in range(self.count):
            with SequenceFile(self.path(index)) as shard:
                if len(shard) == 0:
                    continue
                persons, channels = max(persons, shard.persons), shard.channels
                layout = layout or shard.layout
                has_confidence = has_confidence or shard.has_confidence
                has_uncertainty = has_uncertainty or shard.has_uncertainty
                has_keypoints = has_keypoints or shard.has_keypoints
        if layout is None:
            raise DataError(f"{self.folder}: there are no shards to join")
        schema = Schema(
            layout=layout,
            classes=tuple(classes),
            persons=persons,
            channels=channels,
            has_confidence=has_confidence,
            has_uncertainty=has_uncertainty,
            has_keypoints=has_keypoints,
        )
        clips = write_sequences(self.out, self._clips(), schema, provenance=provenance)
        self.remove()
        return clips

    def remove(self) -> None:
        """Delete the folder and what is in it that this class wrote."""
        for pattern in ("*.h5", ".*.part", "*.json"):  # plan.json and records beside shards
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            shutil.rmtree(self.folder)
