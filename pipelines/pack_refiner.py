"""Put a trained refiner and its noise models into a packaged model and its scores into the card."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from skelaug.checkpoint import load_checkpoint, save_checkpoint
from skelaug.data.splits import selected
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.files import write_text
from skelaug.workflows import predict, refine
from skelaug.workflows.drawn_errors import corrupted, load_errors
from skelaug.workflows.pose_pairs import thinned
from skelaug.workflows.predict import PredictConfig
from skelaug.workflows.refinement_report import METHODS, RefineConfig, RefineReport

TITLE = "## Refiner"
SECTION = """{title}

Used by `skelaug refine` by default; its noise by the arms `noisy-poses` of `skelaug bench`.

- network: {kind}, {parameters:,} weights, {steps:,} steps of {batch} windows of {frames} frames at
  {fps:g} per second; it reads the pose and where a low pass and rigid bones would put the joints.
  `skelaug refine` then cuts off what is faster than {low_pass:g} Hz, gives each bone one length in
  all clips of a performer, and filters the root's way ({root})
- data: HDM05 (as above) and 96 clips of the CMU Graphics Lab Motion Capture Database
  (mocap.cs.cmu.edu; created with funding from NSF EIA-0196217; free for use, the data itself may
  not be resold), joints mapped to {layout}; on them errors like those of UTD-MHAD (as above),
  subjects 1, 3, 5, 7
- licence of the weights: {licence}
- training part: {clips} clips, rule `{rule}`
- made by: `./pipelines/train_packaged_refiner.sh UTD_MHAD.tar.xz HDM05.tar.xz cmu_mocap8.npz`,
  skelaug {version}
- the noise: nobody knows where those bodies were. Taken for the truth is the motion without what
  is faster than 6 Hz and with bones of one length, the nearest to the recording; what differs from
  it is the noise, Gaussian, each joint for as long as its own lasts, 0.3 to 2 times its size. The
  real errors come in bursts: at their size drawn ones stretch bones almost as much (mocap with
  them by 7.2 %, UTD-MHAD by 8.5 %) and shake more (18.5 m/s², UTD-MHAD 9.0, mocap alone 4.9)
- what it cannot do: joints of other layouts; limbs that the sensor took for others for long

Performers of HDM05 that it has not seen, with such noise of its own size:

{mocap}

Recordings that it has not seen; accuracy is that of the packaged recognizer on what comes out,
which learnt from recordings as they came. Of NW-UCLA it knows one action, throw, and that from in
front:

{kinect}
"""


def main() -> None:
    """Read RUN and the Kinect FILE=RULE to test on; write OUT/*.safetensors and OUT/card.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True, help="run that the noise is of")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--refining", type=json.loads, default={}, help="form, over the run's")
    parser.add_argument("--mocap", type=Path, required=True, help="what RUN was trained on")
    parser.add_argument("--mocap-rule", required=True, help="which of its clips are tested")
    parser.add_argument("--kinect", action="append", default=[], help="FILE:RULE of test clips")
    options = parser.parse_args()
    model, out = load_checkpoint(options.run / "model.safetensors"), options.out
    form = {**model.meta["refiner"], **options.refining}
    model = replace(model, meta={**model.meta, "refiner": form})
    save_checkpoint(out / "refiner.safetensors", model, half=True)
    copyfile(options.run / "corrector.safetensors", out / "corrector.safetensors")
    copyfile(options.noise / "noise.safetensors", out / "noise.safetensors")
    meta = model.meta
    section = SECTION.format(
        title=TITLE,
        kind=model.kind,
        parameters=meta["parameters"],
        steps=meta["steps"],
        batch=meta["batch"],
        frames=meta["refiner"]["frames"],
        fps=meta["refiner"]["fps"],
        root=form["root"],
        low_pass=form["low_pass"],
        layout=model.layout.name,
        licence=meta["licence"],
        clips=sum(meta["clips"].values()) + meta["unlabelled"],
        rule=meta["split"]["rule"],
        version=meta["version"],
        mocap=_mocap(options.mocap, options.mocap_rule, out / "noise.safetensors", out),
        kinect="\n\n".join(_kinect(told, out) for told in options.kinect),
    )
    card = out / "card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else f"# {out.name}\n"
    write_text(card, _without(text).rstrip() + "\n\n" + section)


def _table(tested: Path, truth: Path | None, model: Path, title: str) -> str:
    """What each method does to clips, as a table: with the truth errors, else accuracy."""
    ways = [(m, "keep") for m in METHODS[1:]]
    ways += [("butterworth", "rigid"), ("butterworth", "performer"), ("diffusion", "keep")]
    ways += [("diffusion", "rigid"), ("diffusion", "performer")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        done = Path(folder) / "done.h5"
        for method, bones in ways:
            told = {"data": tested, "truth": truth, "model": str(model), "method": method}
            report = refine.run(RefineConfig(out=done, bones=bones, **told), force=True)
            for side in ("after",) if rows else ("before", "after"):
                seen = done if side == "after" else tested
                rows.append(_row(report, side, _accuracy(seen) if truth is None else None))
    last = "MPJPE, mm | P-MPJPE, mm |" if truth else "accuracy |"
    head = f"| {title} | jitter, m/s² | bones vary by, % | moved, mm | {last}"
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *rows])


def _row(report: RefineReport, side: str, accuracy: str | None) -> str:
    name = "as it came" if side == "before" else f"{report.method}, bones: {report.bones}"
    jitter, bones = report.jitter, report.bone_length_variation
    moved = 0.0 if side == "before" else report.displacement_mm
    errors = (
        [getattr(row, side) for row in (report.errors[-1].mpjpe, report.errors[-1].p_mpjpe)]
        if report.errors
        else []
    )
    last = [accuracy] if accuracy else [f"{error:.1f}" for error in errors]
    cells = [name, f"{getattr(jitter, side):.2f}", f"{100 * getattr(bones, side):.2f}"]
    return f"| {' | '.join([*cells, f'{moved:.1f}', *last])} |"


def _mocap(data: Path, rule: str, noise: Path, out: Path) -> str:
    """Mocap that the network has not seen, with errors of the size of the sensor's."""
    truth, tested = (Path(tempfile.mkdtemp()) / name for name in ("truth.h5", "noisy.h5"))
    with SequenceFile(data) as file:
        errors = load_errors(noise, file.layout, turn=True)
        schema = Schema(file.layout, file.classes, file.persons)
        clips = [thinned(file[row], 30.0) for row in selected(file, rule).nonzero()[0].tolist()]
    noisy = [corrupted(clip, errors, seed=0, address=n) for n, clip in enumerate(clips)]
    for path, some in ((truth, clips), (tested, noisy)):
        write_sequences(path, some, schema, provenance=[])
    return _table(tested, truth, out, f"mocap, {rule}")


def _kinect(told: str, model: Path) -> str:
    """Jitter, variation of the bones, movement and accuracy after each method."""
    path, _, rule = told.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        tested = Path(folder) / "tested.h5"
        _write_part(Path(path), rule, tested)
        return _table(tested, None, model, f"{Path(path).stem}, {rule}")


def _write_part(path: Path, rule: str, out: Path) -> None:
    """The clips of a file that a split rule names, as a file of their own."""
    with SequenceFile(path) as file:
        rows = selected(file, rule).nonzero()[0].tolist()
        schema = Schema(file.layout, file.classes, file.persons, file.channels)
        write_sequences(out, (file[row] for row in rows), schema, provenance=file.provenance)


def _accuracy(path: Path) -> str:
    """Of the packaged recognizer, among the actions that it knows."""
    accuracy = predict.run(PredictConfig(data=path)).known_accuracy
    return "–" if accuracy is None else f"{accuracy:.3f}"


def _without(text: str) -> str:
    """The card without the section of this script."""
    before, title, section = text.partition(f"\n{TITLE}\n")
    _, heading, after = section.partition("\n## ") if title else ("", "", "")
    return before + heading + after


if __name__ == "__main__":
    main()
