"""``skelaug synth``: draw labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from skelaug.cli import render
from skelaug.cli.options import (
    AsJson,
    ConfigFile,
    Device,
    DryRun,
    Force,
    Output,
    Quiet,
    Resume,
    Seed,
    SetValues,
)

__all__ = ["EXAMPLES", "synth"]

EXAMPLES = [
    "skelaug synth --label kick --n 1000 -o synthetic.h5",
    "skelaug synth --label kick --label wave --n 50 --seed 7 -o two.h5",
    "skelaug synth --label kick --n 100 --no-copies -o novel.h5",
    "skelaug synth --label kick --n 20 --sampler ddpm --steps 50 -o ancestral.h5",
    "skelaug synth --label kick --n 20 --candidates 4 --judge kinect20 --novel -o chosen.h5",
    "skelaug synth --label kick --n 20 --vary-bones 0.15 --vary-tempo 0.1 -o bodies.h5",
    "skelaug synth --label kick --n 20000 -o many.h5 --dry-run",
]


def synth(
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="NAME", help="Class, or a unique part of its name; may be repeated."
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Clips per label.  [default: 100]")
    ] = None,
    output: Output = Path("synth.h5"),
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|RUN", help="Packaged model or run directory.")
    ] = "kinect20",
    guide: Annotated[
        str | None,
        typer.Option("--guide", metavar="RUN", help="Another guide than the model's own."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like", metavar="DATA.h5", help="Match this file's label mix and durations."
        ),
    ] = None,
    balance_to: Annotated[
        int | None,
        typer.Option("--balance-to", min=1, help="Fill every class of --like up to so many."),
    ] = None,
    sampler: Annotated[
        Literal["ddpm", "ddim", "dpm++", "dpm++sde"] | None,
        typer.Option("--sampler", help="How to draw.  [default: what the model recommends]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Denoiser evaluations.  [default: recommended]"),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            "--guidance-scale", min=0.0, help="Weight of the guide.  [default: recommended]"
        ),
    ] = None,
    subject: Annotated[
        list[int] | None,
        typer.Option(
            "--subject",
            min=0,
            metavar="N",
            help="Performer to imitate, of a model trained with --set performers=true; may be "
            "repeated.  [default: any of them]",
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second.")] = None,
    no_copies: Annotated[
        bool,
        typer.Option(
            "--no-copies",
            help="Draw a clip again that is nearer to a training clip than 95 % of the training "
            "clips are to their nearest other.",
        ),
    ] = False,
    where_it_hurts: Annotated[
        Path | None,
        typer.Option(
            "--where-it-hurts",
            metavar="RUN",
            help="Draw the classes that this recognizer confused in its test, in proportion to its "
            "errors; --n is then the total.",
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            min=1,
            help="Draw up to so many candidates of each clip and keep the best by what follows.  "
            "[default: 1; 9 with --no-copies]",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="NAME|RUN",
            help="Recognizer that must see the class: not the one to be trained. `guide` is the "
            "guide of the model.",
        ),
    ] = None,
    judge_least: Annotated[
        float | None,
        typer.Option(
            "--judge-least", min=0.0, max=1.0, help="Least probability it gives.  [default: 0.5]"
        ),
    ] = None,
    plausible: Annotated[
        bool,
        typer.Option(
            "--plausible",
            help="Bones must keep their lengths, and joints accelerate, as in the training clips.",
        ),
    ] = False,
    plausible_like: Annotated[
        Path | None,
        typer.Option(
            "--plausible-like",
            metavar="DATA.h5",
            help="As in these real clips, for a model that keeps no range of its own.",
        ),
    ] = None,
    novel: Annotated[
        bool,
        typer.Option(
            "--novel", help="Keep what is farthest from the training clips, within their range."
        ),
    ] = False,
    drop_failed: Annotated[
        bool,
        typer.Option("--drop-failed", help="Leave out clips of which no candidate met all of it."),
    ] = False,
    vary_bones: Annotated[
        float | None,
        typer.Option(
            "--vary-bones",
            min=0.0,
            help="Give every clip another body: bones up to this share longer or shorter.",
        ),
    ] = None,
    vary_tempo: Annotated[
        float | None,
        typer.Option(
            "--vary-tempo",
            min=0.0,
            help="Give every clip another tempo: standard deviation of its logarithm.",
        ),
    ] = None,
    seed: Seed = 0,
    config: ConfigFile = None,
    set_values: SetValues = None,
    device: Device = "auto",
    resume: Resume = False,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw labelled clips from a model.

    Clips are in metres, last as long as real ones of their class, and carry their seed: clip i of
    a seed is the same however many are drawn, by however many processes
    (`torchrun --nproc-per-node 2 -m skelaug synth ...`). A killed command goes on with --resume.

    Of several candidates the best is kept: the judge sees the class, then it is plausible, then no
    copy, then the most novel. Without --novel the first that meets everything is taken.

    JSON: output, clips, labels (label, clips), model, sampler, steps, guidance_scale,
    performers, redrawn, copies, choice (candidates, drawn, failed, passed, unmet, dropped),
    weak (label, recall, errors, confused_with, clips), warnings, resumed_shards, seconds, dry_run.
    """
    from skelaug.config import load
    from skelaug.workflows import synthesize as workflow

    settings = load(
        workflow.SynthesizeConfig,
        file=config,
        overrides=set_values or (),
        flags={
            "out": output,
            "labels": tuple(label) if label else None,
            "n": n,
            "like": like,
            "balance_to": balance_to,
            "model": model,
            "guide": guide,
            "sampler": sampler,
            "steps": steps,
            "guidance_scale": guidance_scale,
            "subjects": tuple(subject) if subject else None,
            "fps": fps,
            "seed": seed,
            "no_copies": no_copies or None,
            "where_it_hurts": where_it_hurts,
            "candidates": candidates,
            "judge": judge,
            "judge_least": judge_least,
            "plausible": plausible or None,
            "plausible_like": plausible_like,
            "novel": novel or None,
            "drop_failed": drop_failed or None,
            "vary_bones": vary_bones,
            "vary_tempo": vary_tempo,
        },
    )
    report = workflow.run(
        settings,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=render.progress(quiet=quiet),
    )
    if not quiet:
        for warning in report.warnings:
            render.note(f"warning: {warning}")
    render.report("synth", report, as_json=as_json, quiet=quiet, show=_show)


def _show(report: Any) -> None:
    verb = "would write" if report.dry_run else "wrote"
    render.line(f"{verb} {report.clips} clips to {report.output}")
    render.facts(
        {
            "model": report.model,
            "sampler": f"{report.sampler}, {report.steps} steps",
            "guidance scale": report.guidance_scale,
            "imitates": ", ".join(f"subject {number}" for number in report.performers),
            "seconds": report.seconds,
        }
    )
    if report.redrawn is not None:
        render.facts({"redrawn": report.redrawn, "still copies": report.copies})
    if report.choice is not None:
        _show_choice(report.choice)
    if report.weak:
        _show_weak(report.weak)
    else:
        render.table(["label", "clips"], [[one.label, one.clips] for one in report.labels])


def _show_choice(choice: Any) -> None:
    failed = {f"failed: {name}": count for name, count in choice.failed.items()}
    fate = "left out" if choice.dropped else "kept though none of their candidates passed"
    facts = {"candidates drawn": choice.drawn, **failed, "clips that passed": choice.passed}
    render.facts({**facts, f"clips {fate}": choice.unmet})


def _show_weak(weak: Any) -> None:
    render.table(
        ["class", "recall", "errors", "confused with", "clips to draw"],
        [
            [one.label, one.recall, one.errors, one.confused_with, one.clips]
            for one in sorted(weak, key=lambda one: -one.errors)
        ],
    )
