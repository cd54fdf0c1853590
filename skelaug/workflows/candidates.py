"""Drawing candidates of every clip and keeping the best: ``synth --candidates``.

Candidate k of sample i is the image at ``Address(i, k)``, and everything that is asked about it is
computed in the groups in which images are drawn, so that what is kept depends on (seed, i) alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelaug.image.codec import ImageCodec
from skelaug.image.sketch import CopyDetector
from skelaug.place import one_thread_each
from skelaug.progress import Advance
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.choosing import (
    CRITERIA,
    Evidence,
    Standards,
    Verdict,
    is_better,
    verdict,
)
from skelaug.workflows.image_source import GROUP, Address, ImageSource, filled_groups
from skelaug.workflows.judges import Judge
from skelaug.workflows.plausible_images import measured

__all__ = ["Chosen", "Decode", "Jury", "draw_best"]

Decode = Callable[[int, NDArray[np.float32]], SkeletonSequence]


class Chosen(NamedTuple):
    """The best candidates of N samples.

    Attributes:
        pixels: N C R F.
        passes: Whether each meets every criterion, N.
        counts: ``drawn`` candidates, how many of them ``failed CRITERION``, and how many clips
            ``kept CRITERION`` though failing it.
    """

    pixels: NDArray[np.float32]
    passes: NDArray[np.bool_]
    counts: Counter[str]


@dataclass(frozen=True)
class Jury:
    """What candidates are asked.

    Attributes:
        codec: Of their images.
        classes: Names of the labels.
        standards: What they must meet; with bounds they are asked whether they are plausible.
        judge: Who says whether they show their class, or None.
        sketches: Of the training clips; None where neither copies nor novelty are asked for.
        no_copies: Ask whether they are copies.
        is_novel: Ask how new they are.
    """

    codec: ImageCodec
    classes: tuple[str, ...]
    standards: Standards = field(default_factory=Standards)
    judge: Judge | None = None
    sketches: CopyDetector | None = None
    no_copies: bool = False
    is_novel: bool = False

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is asked, in the order of `CRITERIA`."""
        asked = (self.judge, self.standards.bounds, self.no_copies, self.is_novel)
        return tuple(name for name, asks in zip(CRITERIA, asked, strict=True) if asks)

    def verdict(
        self, pixels: NDArray[np.float32], labels: Sequence[int], clips: Sequence[SkeletonSequence]
    ) -> Verdict:
        """How candidates stand.

        Args:
            pixels: Their images, N C R F.
            labels: The classes that they should show, N.
            clips: The same in metres, N.
        """
        probability = quantities = distance = novelty = None
        if self.judge is not None:
            wanted = [self.judge.classes.index(self.classes[label]) for label in labels]
            found = self.judge.probabilities(pixels, clips)
            probability = found[np.arange(len(found)), wanted]
        if self.standards.bounds:
            quantities = measured(self._of_present(pixels, clips), self.codec)
        if self.sketches is not None:
            distance = self.sketches.distances(pixels)
            novelty = distance / self.sketches.typical
        evidence = Evidence(
            probability=probability,
            quantities=quantities,
            distance=distance if self.no_copies else None,
            novelty=novelty if self.is_novel else None,
        )
        return verdict(evidence, self.standards, count=len(pixels))

    def _of_present(
        self, pixels: NDArray[np.float32], clips: Sequence[SkeletonSequence]
    ) -> NDArray[np.float32]:
        """The images without the rows of persons that their clips leave out."""
        n, c, _, f = pixels.shape
        present = np.array([clip.present for clip in clips])
        blocks = pixels.reshape(n, c, self.codec.persons, self.codec.rows, f)
        kept = np.where(present[:, None, :, None, None], blocks, np.float32(0))
        return kept.reshape(pixels.shape)


def draw_best(
    source: ImageSource,
    jury: Jury,
    samples: Sequence[int],
    labels: Sequence[int],
    *,
    candidates: int,
    decode: Decode,
    advance: Advance,
) -> Chosen:
    """The best of up to `candidates` candidates of every sample.

    Where novelty does not matter, the first candidate that meets all criteria is the best, and no
    more are drawn of that sample: a draw from the model under the condition that it passes.

    Args:
        source: The model that draws.
        jury: What candidates are asked.
        samples: Numbers of the samples, N.
        labels: Their classes, N.
        candidates: Most candidates of a sample.
        decode: From the number of a sample and its image to its clip.
        advance: Told how many samples are done.
    """
    count, piece = len(samples), GROUP * source.workers
    pixels = np.empty((count, *source.codec.shape), dtype=np.float32)
    ranks = np.full((count, len(jury.criteria) + 2), -np.inf)
    counts = Counter[str]()
    # samples that are drawn again are few: they share groups with those of other pieces
    step = piece if jury.is_novel else count
    for start in range(0, count, step):
        waiting = np.arange(start, min(start + step, count))
        for attempt in range(candidates):
            is_last = attempt == candidates - 1
            for which in np.split(waiting, range(piece, len(waiting), piece)):
                addresses = [Address(samples[i], attempt) for i in which]
                images = source.draw(addresses, [labels[i] for i in which])
                found = _ranks(source, jury, addresses, images, [labels[i] for i in which], decode)
                counts["drawn"] += len(which)
                counts.update(_failures(jury, found, "failed"))
                better = is_better(found, ranks[which])
                pixels[which[better]], ranks[which[better]] = images[better], found[better]
                is_settled = is_last or (found[:, 0] > 0) & (not jury.is_novel)
                advance(int(np.broadcast_to(is_settled, len(which)).sum()))
            waiting = waiting if jury.is_novel else waiting[ranks[waiting, 0] == 0]
            if not len(waiting):
                break
    counts.update(_failures(jury, ranks, "kept"))
    return Chosen(pixels, ranks[:, 0] > 0, counts)


def _failures(jury: Jury, ranks: NDArray[np.float64], word: str) -> dict[str, int]:
    failed = (ranks[:, 1:-1] == 0).sum(axis=0)
    return {f"{word} {name}": int(n) for name, n in zip(jury.criteria, failed, strict=True)}


def _ranks(
    source: ImageSource,
    jury: Jury,
    addresses: Sequence[Address],
    images: NDArray[np.float32],
    labels: Sequence[int],
    decode: Decode,
) -> NDArray[np.float64]:
    """`Verdict.ranks` of candidates, N R, computed group by group."""
    ranks = np.empty((len(addresses), len(jury.criteria) + 2))
    if not jury.criteria:
        ranks[:] = (1, 0)
        return ranks

    def fill(order: list[int]) -> None:
        clips = {i: decode(addresses[i].sample, images[i]) for i in set(order)}
        found = jury.verdict(images[order], [labels[i] for i in order], [clips[i] for i in order])
        ranks[order] = found.ranks[[addresses[i].sample % GROUP for i in order]]

    with one_thread_each(source.workers), ThreadPoolExecutor(source.workers) as pool:
        list(pool.map(fill, filled_groups(addresses)))
    return ranks
