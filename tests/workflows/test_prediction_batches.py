from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skelaug.data.store import SequenceFile
from skelaug.workflows.prediction_batches import answers, cut, spans
from skelaug.workflows.recognizer import load_recognizer

SIZES = st.integers(1, 60)


@pytest.fixture
def on_threads():
    """``on_threads(3)`` sets torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@given(frames=SIZES, window=SIZES, stride=st.none() | SIZES)
def test_windows_cover_the_clip_in_order_and_the_last_ends_with_it(frames, window, stride):
    stride = min(stride, window) if stride else None
    found = spans(frames, window, stride)
    assert found[0][0] == 0
    assert found[-1][1] == frames
    assert {end - start for start, end in found} == {min(window, frames)}
    steps = np.diff([start for start, _ in found])
    assert (steps >= 1).all()
    assert (steps[:-1] == (stride or max(1, window // 2))).all()
    assert (steps <= window).all()
    assert {frame for span in found for frame in range(*span)} == set(range(frames))


def test_without_a_window_a_clip_is_whole():
    assert spans(17, None, None) == [(0, 17)]


def test_a_cut_keeps_the_frames_and_what_is_known(make_sequence):
    clip = make_sequence(frames=9, missing=0.3)
    clip = clip.replaced(confidence=clip.observed.astype(np.float32))
    part = cut(clip, 2, 6)
    np.testing.assert_array_equal(part.positions, clip.positions[2:6])
    np.testing.assert_array_equal(part.observed, part.confidence)
    assert (part.num_frames, part.name, part.label) == (4, clip.name, clip.label)


@pytest.mark.parametrize("window", [None, 8])
def test_answers_come_in_the_order_of_the_file_on_any_number_of_threads(
    make_recognizer, data_file, on_threads, window
):
    recognizers = [load_recognizer(make_recognizer(str(k), seed=k)) for k in range(2)]
    found = []
    for threads, batch in ((1, 5), (3, 5), (2, 1)):
        on_threads(threads)
        with SequenceFile(data_file) as file:
            some = list(answers(file, recognizers, batch=batch, window=window))
        assert torch.get_num_threads() == threads
        assert max(len(one.pieces) for one in some) == batch
        found.append(
            (
                [piece for one in some for piece in one.pieces],
                *(np.concatenate([one.logits[k] for one in some]) for k in range(2)),
            )
        )
    first, alone, single = found
    assert first[0] == alone[0] == single[0] == sorted(first[0])
    for mine, theirs, one_by_one in zip(first[1:], alone[1:], single[1:], strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-5)
        np.testing.assert_allclose(one_by_one, mine, atol=1e-5)


def test_only_some_clips_live_at_a_time(make_recognizer, data_file, on_threads, monkeypatch):
    recognizer = load_recognizer(make_recognizer())
    on_threads(2)
    clips, most = [], 0
    read = SequenceFile.__getitem__

    def counted(file, index):
        nonlocal most
        clip = read(file, index)
        clips.append(weakref.ref(clip.positions))
        most = max(most, sum(one() is not None for one in clips))
        return clip

    monkeypatch.setattr(SequenceFile, "__getitem__", counted)
    with SequenceFile(data_file) as file:
        for _ in answers(file, [recognizer], batch=2):
            pass
    assert len(clips) == 24
    assert most <= 2 * (2 + 2) + 1, "two threads, one batch waiting, one being read"


def test_recognizers_share_a_preparation(make_recognizer, data_file, monkeypatch):
    recognizers = [load_recognizer(make_recognizer(str(k), seed=k)) for k in range(2)]
    prepare, calls = type(recognizers[0]).prepare, []

    def counted(self, clip):
        calls.append(clip.name)
        return prepare(self, clip)

    monkeypatch.setattr(type(recognizers[0]), "prepare", counted)
    with SequenceFile(data_file) as file:
        list(answers(file, recognizers))
    assert len(calls) == 24


def test_a_window_of_nothing_is_rejected_and_the_others_are_answered(
    make_recognizer, make_sequence, write_file, tmp_path
):
    clip = make_sequence(frames=30, name="blind")
    observed = clip.observed.copy()
    observed[10:20] = False
    path = write_file(tmp_path / "gap.h5", [clip.replaced(observed=observed)])
    with SequenceFile(path) as file:
        (found,) = answers(
            file, [load_recognizer(make_recognizer())], window=10, stride=10, batch=9
        )
    assert [piece.start for piece in found.pieces] == [0, 20]
    assert len(found.logits[0]) == 2
    assert [one.name for one in found.rejected] == ["blind"]
    assert found.rejected[0].reason.startswith("frames 10 to 19: ")
    assert len(found) == 3
