"""Turn a trained recognizer into a file for another runtime: ``skelaug export``.

An ONNX file takes prepared clips, ``positions`` N 3 T V M, computes the streams itself and returns
``logits`` N K. Its metadata say how clips are prepared; `skelaug export --help` shows the lines of
Python that use it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug import __version__
from skelaug.data.store import SequenceFile
from skelaug.errors import CheckFailedError, DataError, DependencyError, UsageError, did_you_mean
from skelaug.files import replacing, require_file, require_new
from skelaug.workflows.provenance import file_hashes, write_run_record
from skelaug.workflows.recognizer import Recognizer, load_recognizer

__all__ = ["FORMATS", "ExportConfig", "ExportReport", "Parity", "run"]

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"onnx": ("onnx", "onnxruntime", "onnxscript")}
)
"""What ``--to`` takes, with the packages that it needs; the extra has the format's name."""

_OPSET = 18
_TOLERANCE = 1e-3
_TRACED, _COMPARED = 2, (1, 7)  # clips per batch; a graph frozen to the first fails the others
_CLIPS = 49


class ExportConfig(BaseModel, frozen=True, extra="forbid"):
    """What is exported.

    Attributes:
        model: Packaged model, run directory or safetensors file of a recognizer.
        out: File to write.
        to: A key of `FORMATS`.
        check: Sequence file on whose clips the result is compared too.
    """

    model: str
    out: Path
    to: str = "onnx"
    check: Path | None = None


class Parity(BaseModel, frozen=True):
    """How far the exported logits are from the network's own.

    Attributes:
        clips: ``random``, or the file that they are from.
        count: How many; each was computed in batches of `batches`.
        batches: Clips per batch.
        absolute: Largest difference of a logit.
        relative: Largest difference over the largest logit of the same clip.
    """

    clips: str
    count: int
    batches: list[int]
    absolute: float
    relative: float


class ExportReport(BaseModel, frozen=True):
    """What was exported.

    Attributes:
        model: Which model.
        output: The file.
        format: Of the file.
        kind: The network.
        classes: Class names in the order of the logits.
        layout: Name of the layout of the clips.
        preparation: How clips become `inputs`: profile, frames, persons.
        streams: What is computed of them inside.
        inputs: Names and shapes.
        outputs: Names and shapes.
        opset: Version of the operators.
        parity: Comparisons with the network.
        megabytes: Size of the file.
        seconds: Time of it all.
        dry_run: Whether nothing was written.
    """

    model: str
    output: str
    format: str
    kind: str
    classes: list[str]
    layout: str
    preparation: dict[str, str | int]
    streams: list[str]
    inputs: dict[str, list[str | int]]
    outputs: dict[str, list[str | int]]
    opset: int
    parity: list[Parity]
    megabytes: float
    seconds: float
    dry_run: bool


def run(config: ExportConfig, *, force: bool = False, dry_run: bool = False) -> ExportReport:
    """Export a recognizer and compare the result with it before anything is written.

    Raises:
        UsageError: The format is unknown, or the output exists.
        DependencyError: A package is missing.
        NotFoundError: The model or the file to check with does not exist.
        DataError: One of them is damaged, or their layouts differ.
        CheckFailedError: The exported logits differ from the network's.
        StorageError: The output cannot be written.
    """
    started = time.monotonic()
    _require_packages(config.to)
    require_new(config.out, force=force, inputs=[config.check] if config.check else [])
    recognizer = load_recognizer(config.model)
    clips = {"random": _random_clips(recognizer)}
    if config.check is not None:
        clips[str(config.check)] = _real_clips(recognizer, config.check)
    content = _onnx(recognizer)
    parity = _compare(recognizer, content, clips)
    for one in parity:
        if not one.relative <= _TOLERANCE:
            raise CheckFailedError(
                f"{config.out}: expected the logits of {config.model} within {_TOLERANCE:g} of the "
                f"largest, got {one.relative:.3g} on {one.clips} clips; nothing was written"
            )
    report = _report(config, recognizer, parity, size=len(content), dry_run=dry_run)
    report = report.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
    if not dry_run:
        with replacing(config.out) as part:
            part.write_bytes(content)
        inputs = [recognizer.path, *([config.check] if config.check else [])]
        details = {"inputs": file_hashes(inputs), "report": report.model_dump(mode="json")}
        write_run_record(config.out, config, command="export", details=details)
    return report


def _require_packages(name: str) -> None:
    if name not in FORMATS:
        raise UsageError(f"--to {name}: no such format; {did_you_mean(name, FORMATS)}")
    missing = [package for package in FORMATS[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise DependencyError(
            f"--to {name}: expected the packages {', '.join(FORMATS[name])}, got no {missing[0]}; "
            f'pip install "skelaug[{name}]"'
        )


def _onnx(recognizer: Recognizer) -> bytes:
    """The ONNX file of a recognizer, with how it is to be used in its metadata."""
    import onnx

    example = torch.from_numpy(recognizer.arranged(_random_clips(recognizer)[:_TRACED]))
    with _quiet():
        program = torch.export.export(
            recognizer.network, (example,), dynamic_shapes=({0: torch.export.Dim("N")},)
        )
        exported = torch.onnx.export(
            program,
            (example,),
            input_names=["positions"],
            output_names=["logits"],
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    for traced in (*model.graph.node, *model.graph.input, *model.graph.output):
        traced.ClearField(
            "metadata_props"
        )  # places in the source, with the folders of this machine
    model.producer_name, model.producer_version = "skelaug", __version__
    model.doc_string = "prepared clips N 3 T V M to logits N K; see the metadata"
    onnx.helper.set_model_props(model, _metadata(recognizer))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says about its own insides and about packages not asked for."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            yield
    finally:
        log.setLevel(level)


def _metadata(recognizer: Recognizer) -> dict[str, str]:
    """What a user of the file must know; JSON values, but for the texts."""
    checkpoint = recognizer.checkpoint
    return {
        "classes": json.dumps(list(recognizer.classes), ensure_ascii=False),
        "kind": checkpoint.kind,
        "layout": recognizer.layout.to_json(),
        "licence": str(checkpoint.meta.get("licence", "")),
        "preparation": json.dumps(recognizer.preparation._asdict()),
        "streams": json.dumps(list(recognizer.streams)),
    }


def _random_clips(recognizer: Recognizer) -> NDArray[np.float32]:
    """Prepared clips N F M V C of noise, the same for equal sizes; the first is of one person."""
    shape = (max(_COMPARED), *recognizer.shape)
    clips = np.random.default_rng(0).normal(0, 0.5, shape).astype(np.float32)
    clips[0, :, 1:] = 0
    return clips


def _real_clips(recognizer: Recognizer, path: Path) -> NDArray[np.float32]:
    """Clips from all over a file, prepared, N F M V C."""
    with SequenceFile(require_file(path)) as file:
        recognizer.check_clips(file.layout, file.channels, where=str(path))
        prepared = []
        for index in np.unique(np.linspace(0, len(file) - 1, min(_CLIPS, len(file)), dtype=int)):
            try:
                prepared.append(recognizer.prepare(file[int(index)]))
            except DataError:
                continue  # `predict` lists such clips
    if not prepared:
        raise DataError(f"{path}: expected clips that can be used, got none")
    return np.stack(prepared)


def _compare(
    recognizer: Recognizer, content: bytes, clips: Mapping[str, NDArray[np.float32]]
) -> list[Parity]:
    """The differences on each set of prepared clips N F M V C."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = []
    for name, some in clips.items():
        own = recognizer.logits_of(some).astype(np.float64)
        gaps = np.zeros(len(some))
        for size in _COMPARED:
            for start in range(0, len(some), size):
                part = slice(start, start + size)
                (theirs,) = session.run(None, {"positions": recognizer.arranged(some[part])})
                # the maximum with a NaN is NaN, and no parity
                gaps[part] = np.maximum(gaps[part], np.abs(theirs - own[part]).max(axis=1))
        largest = np.abs(own).max(axis=1).clip(min=np.finfo(np.float32).tiny)
        parity = Parity(
            clips=name,
            count=len(some),
            batches=[*_COMPARED],
            absolute=float(gaps.max()),
            relative=float((gaps / largest).max()),
        )
        found.append(parity)
    return found


def _report(
    config: ExportConfig,
    recognizer: Recognizer,
    parity: list[Parity],
    *,
    size: int,
    dry_run: bool,
) -> ExportReport:
    frames, persons, joints, coordinates = recognizer.shape
    preparation: dict[str, Any] = recognizer.preparation._asdict()
    return ExportReport(
        model=recognizer.name,
        output=str(config.out),
        format=config.to,
        kind=recognizer.checkpoint.kind,
        classes=list(recognizer.classes),
        layout=recognizer.layout.name,
        preparation=preparation,
        streams=list(recognizer.streams),
        inputs={"positions": ["N", coordinates, frames, joints, persons]},
        outputs={"logits": ["N", len(recognizer.classes)]},
        opset=_OPSET,
        parity=parity,
        megabytes=round(size / 1e6, 3),
        seconds=0.0,
        dry_run=dry_run,
    )
