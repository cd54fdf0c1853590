"""The exported file: the same logits in another runtime, and everything needed to use it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest

from skelaug.cli.app import run as skelaug
from skelaug.data.store import SequenceFile
from skelaug.errors import CheckFailedError, DataError, DependencyError, NotFoundError, UsageError
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows import export
from skelaug.workflows.export import ExportConfig, run
from skelaug.workflows.recognizer import load_recognizer

STREAMS = ("joint", "bone_motion")


def snippet() -> str:
    """The lines of Python that `skelaug export --help` shows."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert skelaug(["export", "--help"]) == 0
    lines = re.split(r"In Python:\n|\n *JSON:", shown.getvalue())[1]
    return "\n".join(line.removeprefix("    ") for line in lines.splitlines())


def test_the_file_has_the_networks_logits_and_says_how_it_is_used(
    make_recognizer, data_file, tmp_path, monkeypatch, capfd
):
    folder = make_recognizer(streams=STREAMS, preparation={"persons": 2})
    out = tmp_path / "model.onnx"
    report = run(ExportConfig(model=str(folder), out=out, check=data_file))
    assert capfd.readouterr() == ("", ""), "the exporter keeps its thoughts to itself"
    assert [(one.clips, one.count) for one in report.parity] == [
        ("random", 7),
        (str(data_file), 24),
    ]
    assert max(one.relative for one in report.parity) < 1e-4
    assert report.inputs == {"positions": ["N", 3, 16, 20, 2]}
    assert report.outputs == {"logits": ["N", 4]}
    assert report.megabytes == round(out.stat().st_size / 1e6, 3)

    recognizer = load_recognizer(folder)
    session = onnxruntime.InferenceSession(out)
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("positions", report.inputs["positions"])
    assert (answer.name, answer.shape) == ("logits", report.outputs["logits"])
    with SequenceFile(data_file) as file:
        clips, logits = list(file), recognizer.logits(file)
    prepared = recognizer.arranged(np.stack([recognizer.prepare(clip) for clip in clips]))
    for size in (3, 24):  # numbers of clips that the export itself does not try
        (theirs,) = session.run(None, {"positions": prepared[:size]})
        np.testing.assert_allclose(theirs, logits[:size], atol=1e-4)

    told = session.get_modelmeta().custom_metadata_map
    assert tuple(json.loads(told["classes"])) == recognizer.classes
    assert SkeletonLayout.from_json(told["layout"]) == recognizer.layout
    assert tuple(json.loads(told["streams"])) == STREAMS
    assert json.loads(told["preparation"]) == recognizer.preparation._asdict()
    content = out.read_bytes()
    assert b".py" not in content, "no places in the source, and no folders of this machine"

    monkeypatch.chdir(tmp_path)
    data_file.rename("poses.h5")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(snippet(), {})
    expected = [
        f"{clip.name} {recognizer.classes[row.argmax()]}"
        for clip, row in zip(clips, logits, strict=True)
    ]
    assert said.getvalue().splitlines() == expected


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("persons", [1, 2])
@pytest.mark.parametrize("kind", RECOGNIZERS)
def test_every_recognizer_can_be_exported(make_recognizer, data_file, tmp_path, kind, persons):
    folder = make_recognizer(kind=kind, preparation={"persons": persons})
    report = run(ExportConfig(model=str(folder), out=tmp_path / "a.onnx", check=data_file))
    assert max(one.relative for one in report.parity) < 1e-3  # random weights round badly


@pytest.mark.slow
def test_equal_exports_are_equal_files(make_recognizer, tmp_path):
    files = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for out in files:
        run(ExportConfig(model=str(make_recognizer()), out=out))
    assert files[0].read_bytes() == files[1].read_bytes()


def without_export(monkeypatch, content=b"") -> None:
    monkeypatch.setattr(export, "_onnx", lambda recognizer: content)


def doubled(channels: int, frames: int) -> bytes:
    """A graph that answers with sums of its input."""
    shape = ["N", channels, frames, 20, 1]
    given = onnx.helper.make_tensor_value_info("positions", onnx.TensorProto.FLOAT, shape)
    answer = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 1])
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [4], [1, 2, 3, 4])
    node = onnx.helper.make_node("ReduceSum", ["positions", "axes"], ["sum"], keepdims=0)
    flat = onnx.helper.make_tensor("flat", onnx.TensorProto.INT64, [2], [-1, 1])
    last = onnx.helper.make_node("Reshape", ["sum", "flat"], ["logits"])
    graph = onnx.helper.make_graph([node, last], "wrong", [given], [answer], [axes, flat])
    opset = onnx.helper.make_opsetid("", 18)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()


def test_logits_that_differ_fail_the_check_and_leave_no_file(
    make_recognizer, data_file, tmp_path, monkeypatch
):
    without_export(monkeypatch, doubled(3, 16))
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(CheckFailedError, match=r"within 0.001 .* random clips; nothing was wri"):
        run(ExportConfig(model=str(make_recognizer()), out=out))
    assert not out.parent.exists()


def test_nan_is_no_parity(make_recognizer, monkeypatch, tmp_path):
    recognizer = load_recognizer(make_recognizer())
    clips = np.full((2, *recognizer.shape), np.nan, dtype=np.float32)
    (parity,) = export._compare(recognizer, doubled(3, 16), {"nan": clips})
    assert not parity.relative <= 1e-3


def test_what_cannot_be_exported_is_refused_before_any_work(
    make_recognizer, make_sequence, write_file, tmp_path, monkeypatch
):
    without_export(monkeypatch)
    model, out = str(make_recognizer()), tmp_path / "a.onnx"
    with pytest.raises(UsageError, match="--to bvh: no such format; known are onnx"):
        run(ExportConfig(model=model, out=out, to="bvh"))
    with pytest.raises(NotFoundError, match="nowhere"):
        run(ExportConfig(model="nowhere", out=out))
    ntu = write_file(tmp_path / "ntu.h5", [make_sequence(layout="ntu_25")])
    with pytest.raises(DataError, match=r"ntu.h5: expected layout kinect_20 .* got ntu_25"):
        run(ExportConfig(model=model, out=out, check=ntu))
    empty = write_file(tmp_path / "empty.h5", [make_sequence(missing=1.0)])
    with pytest.raises(DataError, match="can be used, got none"):
        run(ExportConfig(model=model, out=out, check=empty))
    out.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        run(ExportConfig(model=model, out=out))
    assert out.read_text() == "mine"
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name)
    )
    with pytest.raises(DependencyError, match=r'got no onnx; pip install "skelaug\[onnx\]"'):
        run(ExportConfig(model=model, out=out))
