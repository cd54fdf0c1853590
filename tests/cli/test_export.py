import pytest

from skelaug.workflows import export


def untraced(monkeypatch, *, relative: float) -> None:
    """Tracing takes seconds; tests/workflows/test_export.py does it."""
    parity = export.Parity(clips="random", count=7, batches=[1, 7], absolute=1, relative=relative)
    monkeypatch.setattr(export, "_onnx", lambda recognizer: b"graph")
    monkeypatch.setattr(export, "_compare", lambda *_: [parity])


def test_people_see_shapes_and_the_comparison(skelaug, sandbox, monkeypatch):
    untraced(monkeypatch, relative=1e-5)
    done = skelaug("export", "recognizer", "a.onnx")
    assert done.code == 0, done.err
    assert done.out.startswith("wrote a.onnx: compact with 4 classes, ")
    assert "N x 3 x 16 x 20 x 1" in done.out
    assert "1e-05" in done.out
    assert done.err == ""
    assert (sandbox / "a.onnx").read_bytes() == b"graph"
    assert (sandbox / "a.onnx.run.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--to", "bvh"), 2, "known are onnx"),
        (("--check", "nowhere.h5"), 5, "nowhere.h5"),
        (("--check", "recordings.npz"), 5, "recordings.npz"),
        (("--check", "poses.npz"), 3, "poses.npz"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("export", "recognizer", "a.onnx", *arguments)
    assert failed.code == code
    assert words in failed.error


def test_other_logits_end_with_exit_code_7(skelaug, sandbox, monkeypatch):
    untraced(monkeypatch, relative=0.5)
    failed = skelaug("export", "recognizer", "a.onnx")
    assert failed.code == 7
    assert "got 0.5 on random clips" in failed.error
    assert not (sandbox / "a.onnx").exists()
