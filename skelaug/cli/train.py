"""``skelaug train``: fit a network to clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skelaug.cli import render
from skelaug.cli.options import (
    AsJson,
    ConfigFile,
    Device,
    DryRun,
    Force,
    Quiet,
    Resume,
    SetValues,
    TestPart,
)
from skelaug.errors import NotFoundError, did_you_mean

if TYPE_CHECKING:
    from skelaug.workflows.training_run import TrainReport

__all__ = ["EXAMPLES", "train"]

EXAMPLES = [
    "skelaug train diffusion data.h5 --out run --set optimisation.steps=20",
    "skelaug train guide data.h5 --out guide --set optimisation.steps=20",
    "skelaug train actor data.h5 --out rival --set optimisation.steps=20",
    "skelaug train action2motion data.h5 --out a2m --split subject=1,2 --dry-run",
    "skelaug train recognizer data.h5 --out r --split subject=1,2 --set optimisation.steps=9",
    "skelaug train recognizer data.h5 --out few --init-from kinect20 --set optimisation.steps=20",
    "skelaug train refiner data.h5 --noisy noisy.h5 --out cleaner --split subject=1,2 --dry-run",
    "skelaug train hgvae data.h5 --out prior --split subject=1,2 --set optimisation.steps=20",
    "skelaug train hgvae data.h5 --out actions --set conditional=true --dry-run",
    "skelaug train lifter filmed.h5 --out lifted --split subject=1,2 --dry-run",
    "skelaug train recognizer data.h5 --out ctr --preset paper --set model.name=ctr-gcn --dry-run",
    "skelaug train diffusion data.h5 --out run --split subject=1,2 --dry-run",
    "skelaug train diffusion data.h5 --out run --preset paper --dry-run --json",
    "skelaug train zeroshot data.h5 --out z --set classes=unseen=wave --set text=hashed "
    "--set descriptions=texts.yaml --split subject=1,2 --dry-run",
]

_WORKFLOWS = {
    "diffusion": ("train_diffusion", "TrainDiffusionConfig"),
    "guide": ("train_guide", "TrainGuideConfig"),
    "recognizer": ("train_recognizer", "TrainRecognizerConfig"),
    "action2motion": ("train_action2motion", "TrainAction2MotionConfig"),
    "actor": ("train_actor", "TrainActorConfig"),
    "hgvae": ("train_hgvae", "TrainHgvaeConfig"),
    "lifter": ("train_lifter", "TrainLifterConfig"),
    "refiner": ("train_refiner", "TrainRefinerConfig"),
    "zeroshot": ("train_zeroshot", "TrainZeroshotConfig"),
}


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="What to train: diffusion, guide, recognizer, zeroshot, hgvae, lifter, refiner, "
            "action2motion or actor.",
        ),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA.h5", help="Sequences or images with labels.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Folder of the run.")],
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="cpu (the default) or paper."),
    ] = None,
    config: ConfigFile = None,
    set_values: SetValues = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="RULE",
            help="Training part: official, xsub, xview, xset, or a rule like subject=1,3,5,7.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Root of every random number.")
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="NAME|RUN",
            help="Recognizer to start from: packaged, a run or a file.",
        ),
    ] = None,
    extra: Annotated[
        Path | None,
        typer.Option(
            "--extra",
            metavar="FILE.h5",
            help="Further clips a recognizer learns from, synthetic ones for example.",
        ),
    ] = None,
    noisy: Annotated[
        Path | None,
        typer.Option(
            "--noisy",
            metavar="FILE.h5",
            help="For a refiner: the same clips with noisy poses, of a lifter or a sensor.",
        ),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            "--noise",
            metavar="RUN",
            help="In its place: a refiner's run, or its noise.safetensors, whose noise is put on.",
        ),
    ] = None,
    test: TestPart = None,
    device: Device = "auto",
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a network on clips; resumable, on one device or many.

    Settings come from the defaults, then --preset, --config, --set and the flags here; the result
    lies in RUN/config.yaml. Ctrl-C saves and ends; --resume goes on and gives the very files that
    an uninterrupted run gives. RUN/model.safetensors is what `skelaug synth --model RUN` and
    `skelaug predict --model RUN` use.

    A recognizer is tested once, at its last step, on the clips that --split leaves (those of them
    that --test names): accuracy by class in RUN/scores.json, RUN/confusion.png. Clips of --extra
    are pooled with the data's own, or fill a share of every batch (--set extra.share=0.3).

    --preset paper is the published schedule of the network chosen by --set model.name=
    (fg-stformer, ctr-gcn, ms-g3d, efficient-gcn, shift-gcn, st-gcn); published scores fuse four of
    them, one for each --set streams=[joint], [bone], [joint_motion], [bone_motion].

    action2motion and actor are other papers' generators, to compare with: `skelaug synth` draws
    from their runs as from a diffusion model's, without sampler, steps and guide.

    hgvae is a model of how bodies move, from clips with or without labels: `skelaug impute` fills
    gaps with it, `skelaug score` says what is unlike its training clips, whose mean score and
    spread are in RUN/scores.json. With --set conditional=true it learns whole labelled clips, and
    `skelaug synth` draws from it. --set model.name=motion-vae or hm-vae are the paper's baselines.

    lifter turns 2D poses into 3D ones for `skelaug lift`, from clips that have both: those that
    `skelaug convert` makes of Human3.6M and HumanEva, one per camera. --set model.name=stcformer or
    mixste, --set windows.frames=27, 81 or 243; --set keypoint_noise.share=1 draws the errors of a
    detector onto exact 2D poses. The best step on held-out motions is kept; it is tested once on
    the clips that --split leaves: MPJPE and P-MPJPE in mm, by action and their mean over actions.

    refiner makes noisy 3D poses more accurate, see `skelaug refine`: DATA.h5 holds true poses,
    --noisy the noisy ones under the same names; it reads 2D poses where a file has them. At its end
    it is tested beside the noisy poses, every filter and a linear corrector, MPJPE and P-MPJPE in
    mm, in RUN/scores.json and RUN/card.md. RUN/noise.safetensors is the noise that was found; with
    --noise it makes noisy poses of other true ones: errors of --set strength=[0.5,2] times their
    size, with --set turn=true of bodies that face any way, with --set noise=drawn new ones for
    every window. Noise that other bodies shall have is best found with --set persistent=matrix
    --set given_pose=false. --set root= and bones= are what `skelaug refine` does beside. The
    paper's ablations are --set noise=identity
    (wo CND) and --set diffusion=false.

    zeroshot learns to match clips with texts, see `skelaug zeroshot`: --set classes= names a
    published split of the classes, e.g. purls/utd-mhad/22-5, or --set classes=unseen=jump,kick
    those without clips. It trains a recognizer of the seen classes first, in RUN/encoder (--set
    encoder=RUN/encoder uses one again), then FDSM's network, or with --set method=tdsm that of its
    forerunner. Features are those of `kinematics`, how far, how fast and whither joints move, which
    are not learnt, whitened within classes (--set standardise=scale leaves that out); --set
    recognizer.model.name=shift-gcn takes learnt ones, --set mode=temporal keeps them along time.
    The network begins at what a ridge map expects of a text, which --set prior=none leaves out.
    A first network, in RUN/validation, is calibrated on seen classes that are held out from it; the
    second learns from all of them (--set refit=false keeps to the first). --set
    validation_classes=0 leaves the first one out, and nothing calibrates probabilities. At its end
    it is tested on the test clips of unseen classes beside two rivals.

    With --dry-run a few steps are measured and nothing is written. On several devices:
    torchrun --nproc-per-node 8 -m skelaug train diffusion DATA.h5 --out RUN.

    JSON: what, run, clips, classes, subjects, parameters, steps, resumed_at, log, best, start,
    scores, skipped, seconds, steps_per_second, warnings, dry_run, estimated_seconds, config.
    """
    import importlib

    from skelaug.workflows.run_directory import resolve

    if what not in _WORKFLOWS:
        raise NotFoundError(
            f"train {what}: nothing of that name can be trained; {did_you_mean(what, _WORKFLOWS)}"
        )
    module, model = _WORKFLOWS[what]
    workflow: Any = importlib.import_module(f"skelaug.workflows.{module}")
    resolved = resolve(
        getattr(workflow, model),
        workflow.PRESETS,
        preset=preset,
        file=config,
        overrides=set_values or (),
        flags={
            "data": data,
            "out": out,
            "split": split,
            "test": test,
            "seed": seed,
            "init_from": init_from,
            "extra": {"file": extra} if extra else None,
            "noisy": noisy,
            "noise_model": noise,
        },
        resume=resume,
    )
    report = workflow.run(
        resolved,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=render.progress(quiet=quiet),
    )
    if not quiet:
        for line in report.start:
            render.note(f"started from {line}")
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    render.report("train", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: TrainReport) -> None:
    named = f"{'an' if report.what[0] in 'aeiou' else 'a'} {report.what} model"
    facts: dict[str, object] = {
        "clips": report.clips,
        "classes": report.classes,
        "subjects": report.subjects,
        "parameters": f"{report.parameters:,}",
        "steps": report.steps,
        "steps per second": report.steps_per_second,
    }
    if report.dry_run:
        facts["estimated minutes"] = (report.estimated_seconds or 0.0) / 60
        render.facts(facts, title=f"would train {named} into {report.run}")
        render.line("\nresolved configuration (--json prints it as JSON)")
        _show_config(report.config)
        return
    hidden = {"step", *report.best}
    facts |= {f"last {key}": value for key, value in report.log.items() if key not in hidden}
    tables = ("classes", "confusion", "typicality", "actions", "methods")
    facts |= {f"test {key}": value for key, value in report.scores.items() if key not in tables}
    facts |= {f"best {key}": value for key, value in report.best.items()}
    for by, own in report.scores.get("typicality", {}).items():
        if by != "clips":
            facts[f"log-{by} of training clips"] = f"{own['mean']:.1f} ± {own['std']:.1f}"
    render.facts(facts, title=f"trained {named}: {report.run}")
    if "classes" in report.scores:
        rows = [[name, accuracy] for name, accuracy in report.scores["classes"].items()]
        render.table(["class", "test accuracy"], rows)
    if "actions" in report.scores:
        by_action = report.scores["actions"]
        columns = [*next(iter(by_action.values()))]
        rows = [[name, *(own[column] for column in columns)] for name, own in by_action.items()]
        render.table(["test clips of", *(column.replace("_", " ") for column in columns)], rows)
    if "methods" in report.scores:
        errors = [
            [name, f"{own['mpjpe']:.1f}", f"{own['p_mpjpe']:.1f}"]
            for name, own in report.scores["methods"].items()
        ]
        render.table(["test error in mm", "MPJPE", "P-MPJPE"], errors)


def _show_config(values: dict[str, Any], indent: str = "  ") -> None:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            render.line(f"{indent}{key}:")
            _show_config(value, indent + "  ")
        else:
            render.line(f"{indent}{key}: {'-' if value in (None, '', {}) else value}")
