"""What ``refine`` is told and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, PositiveInt

from skelaug.workflows.prediction_batches import Rejection

__all__ = [
    "METHODS",
    "ActionErrors",
    "Bones",
    "Change",
    "RefineConfig",
    "RefineReport",
    "RootWay",
    "change_in",
    "errors_in",
]

FilterName = Literal["butterworth", "savitzky-golay", "one-euro", "moving-median"]
RootWay = Literal["keep"] | FilterName
Bones = Literal["keep", "rigid", "performer"]
Method = Literal["diffusion", "linear-corrector"] | FilterName
METHODS: tuple[str, ...] = ("diffusion", "linear-corrector", *get_args(FilterName))


class RefineConfig(BaseModel, frozen=True, extra="forbid"):
    """What is refined, by which method.

    Attributes:
        data: The sequence file.
        out: The sequence file to write.
        model: Packaged model, run directory or safetensors file of a refiner; empty takes the
            packaged one. Filters need none.
        method: One of `METHODS`.
        steps: How often ``diffusion`` looks for the error, K; None as the model was trained for.
        flip: Whether ``diffusion`` also looks at mirror images; None as the model was trained for.
        root: What becomes of the root's way: ``keep``, a filter, or ``auto``: the method where that
            is a filter, what the model was trained for where that is ``diffusion``, else ``keep``.
        low_pass: Hertz above which the refined poses about the root are cut off; 0 cuts nothing,
            None is what the model was trained for.
        bones: What becomes of the bones in the end: ``keep``; ``rigid``, one length throughout a
            clip, see `skelaug.refinement.rigid_bones`; ``performer``, one length throughout all
            clips of a performer; or ``auto``, what the model was trained for where the method is
            ``diffusion``, else ``keep``.
        sample: Clips to draw from the model of the error in place of each clip; 0 refines.
        seed: Root of every random number.
        truth: A file with the true poses of the same clips, to be compared with.
        picture: PNG with some refined clips to write.
    """

    data: Path
    out: Path
    model: str = ""
    method: Method = "diffusion"
    steps: PositiveInt | None = None
    flip: bool | None = None
    root: Literal["auto"] | RootWay = "auto"
    low_pass: NonNegativeFloat | None = None
    bones: Literal["auto"] | Bones = "auto"
    sample: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    truth: Path | None = None
    picture: Path | None = None


class Change(BaseModel, frozen=True):
    """A number before and after.

    Attributes:
        before: Of the clips as they came.
        after: Of what became of them.
    """

    before: float
    after: float


class ActionErrors(BaseModel, frozen=True):
    """How far poses of an action are from the true ones, in mm, means over frames.

    Attributes:
        action: The class; ``mean`` is the mean over all actions, however many frames they have.
        frames: Frames compared.
        mpjpe: Mean distance of joints about the root.
        p_mpjpe: The same after the best similarity of each frame.
    """

    action: str
    frames: int
    mpjpe: Change
    p_mpjpe: Change


class RefineReport(BaseModel, frozen=True):
    """What was refined, and what that changed.

    Attributes:
        data: The sequence file that was read.
        output: The one that was written.
        method: How.
        model: The refiner; None if none took part.
        steps: Of ``diffusion``, K; None otherwise.
        root: What became of the root's way, ``keep`` or a filter.
        low_pass: Hertz above which poses were cut off in the end; 0 if they were not.
        bones: What became of the bones, ``keep``, ``rigid`` or ``performer``.
        picture: The picture that was written.
        clips: Clips in the file.
        written: Clips in the output.
        refined: Clips of the file of which a pose changed.
        frames: Frames of the persons that were refined.
        jitter: Mean acceleration of their joints, m/s^2.
        bone_length_variation: Mean standard deviation of their bones' lengths along a clip, as a
            share of the length.
        displacement_mm: Mean distance from where a joint was.
        errors: By action and on average, where the truth was given.
        rejected: What could not be refined; it is in the output as it was.
        warnings: What should be known beside.
        resumed_shards: Shards that an earlier run had finished.
        seconds: Time of this run.
        frames_per_second: Frames of this run by the time that refining took.
        dry_run: Whether nothing was written.
    """

    data: str
    output: str
    method: str
    model: str | None
    steps: int | None
    root: str
    low_pass: float
    bones: str
    picture: str | None
    clips: int
    written: int
    refined: int
    frames: int
    jitter: Change | None
    bone_length_variation: Change | None
    displacement_mm: float | None
    errors: list[ActionErrors]
    rejected: list[Rejection]
    warnings: list[str]
    resumed_shards: int
    seconds: float
    frames_per_second: float
    dry_run: bool


def change_in(sums: Mapping[str, float], what: str) -> Change | None:
    """Means over persons of what `compared` sums up; None where nobody has such a number."""
    if not sums.get(f"{what} persons before") or not sums.get(f"{what} persons after"):
        return None
    before, after = (
        sums[f"{what} {side}"] / sums[f"{what} persons {side}"] for side in ("before", "after")
    )
    return Change(before=before, after=after)


def errors_in(sums: Mapping[str, float]) -> list[ActionErrors]:
    """Errors by action, and their mean, of what `compared` sums up; empty without the truth."""
    head = "compared before "
    frames = {key.removeprefix(head): n for key, n in sums.items() if key.startswith(head) and n}
    rows = [
        ActionErrors(
            action=action,
            frames=int(count),
            **{
                what: Change(
                    before=sums[f"{what} before {action}"] / count,
                    after=sums[f"{what} after {action}"] / count,
                )
                for what in ("mpjpe", "p_mpjpe")
            },
        )
        for action, count in sorted(frames.items())
    ]
    return [*rows, _mean(rows)] if rows else []


def _mean(rows: list[ActionErrors]) -> ActionErrors:
    def over(changes: list[Change]) -> Change:
        return Change(
            before=sum(change.before for change in changes) / len(changes),
            after=sum(change.after for change in changes) / len(changes),
        )

    return ActionErrors(
        action="mean",
        frames=sum(row.frames for row in rows),
        mpjpe=over([row.mpjpe for row in rows]),
        p_mpjpe=over([row.p_mpjpe for row in rows]),
    )
