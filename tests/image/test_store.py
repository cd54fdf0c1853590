import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from skelaug.errors import DataError, NotFoundError
from skelaug.files import sha256
from skelaug.image.codec import ImageCodec, fitted_codec
from skelaug.image.store import ImageFile, ImageSchema, write_images
from skelaug.skeleton.sequence import Source

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
RECORD = {"command": "images", "config": {"frames": 24}}


def write(path, clips, **changes):
    codec = fitted_codec(clips, ImageCodec(clips[0].layout, persons=clips[0].num_persons))
    classes = tuple(dict.fromkeys(clip.label for clip in clips if clip.label))
    schema = ImageSchema(**({"codec": codec, "classes": classes, "count": len(clips)} | changes))
    write_images(path, clips, schema, provenance=[RECORD])
    return schema


def test_images_and_what_is_known_of_each_clip_come_back(tmp_path, labelled_clips):
    clips = labelled_clips(persons=2, missing=0.3)
    schema = write(tmp_path / "images.h5", clips, data_sha256="ab" * 32)
    with ImageFile(tmp_path / "images.h5") as file:
        assert len(file) == len(clips) == 24
        assert (file.codec, file.layout) == (schema.codec, clips[0].layout)
        assert (file.classes, file.provenance) == (schema.classes, [RECORD])
        assert file.data_sha256 == "ab" * 32
        assert file.names == [clip.name for clip in clips]
        for index, clip in enumerate(clips):
            image = schema.codec.encode(clip)
            np.testing.assert_array_equal(file.pixels[index], image.pixels)
            assert file.record(index) == image.record
            assert file.label_name(index) == clip.label
        np.testing.assert_array_equal(file.lengths, [clip.num_frames for clip in clips])
        np.testing.assert_array_equal(file.fps, [clip.fps for clip in clips])
        np.testing.assert_array_equal(file.subjects, [clip.subject for clip in clips])
        np.testing.assert_allclose(file.durations, [clip.duration for clip in clips])


def test_a_clip_comes_back_with_its_table_entries(tmp_path, make_sequence):
    clip = make_sequence("walk", frames=24, source=Source.SYNTHETIC, seed=5, subject=3)
    write(tmp_path / "images.h5", [clip.replaced(camera=2, setup=7), make_sequence("", name="b")])
    file = ImageFile(tmp_path / "images.h5")
    back = file.sequence(0)
    np.testing.assert_allclose(back.positions, clip.positions, atol=1e-5)
    assert (back.name, back.label, back.fps) == ("clip", "walk", 30.0)
    assert (back.subject, back.camera, back.setup) == (3, 2, 7)
    assert (back.source, back.seed) == (Source.SYNTHETIC, 5)
    assert file.sequence(1).label == file.label_name(1) == ""


def test_pixels_are_a_read_only_map_of_the_file(tmp_path, labelled_clips):
    write(tmp_path / "images.h5", labelled_clips())
    file = ImageFile(tmp_path / "images.h5")
    assert isinstance(file.pixels, np.memmap)
    assert file.pixels.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        file.pixels[0, 0, 0, 0] = 1
    with h5py.File(tmp_path / "images.h5") as hdf:
        assert hdf["pixels"].chunks is hdf["pixels"].compression is None
        np.testing.assert_array_equal(hdf["pixels"][:], file.pixels)


def test_blocks_do_not_show(tmp_path, make_sequence):
    clips = [make_sequence(name=str(n), seed=n, frames=8) for n in range(600)]
    schema = write(tmp_path / "images.h5", clips)
    file = ImageFile(tmp_path / "images.h5")
    for index in (0, 255, 256, 511, 512, 599):
        expected = schema.codec.encode(clips[index]).pixels
        np.testing.assert_array_equal(file.pixels[index], expected)


def test_a_pickled_file_is_small_and_opens_again(tmp_path, labelled_clips):
    write(tmp_path / "images.h5", labelled_clips())
    file = ImageFile(tmp_path / "images.h5")
    total = file.pixels.sum()
    text = pickle.dumps(file)
    assert len(text) < file.pixels.nbytes
    assert pickle.loads(text).pixels.sum() == total
    file.close()
    assert file.pixels.sum() == total


def _sum(file, index, queue):
    queue.put(float(file.pixels[index].sum()))


@FORKS
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same_pixels(tmp_path, labelled_clips, method):
    write(tmp_path / "images.h5", labelled_clips())
    file = ImageFile(tmp_path / "images.h5")
    expected = float(file.pixels[3].sum())
    if method == "spawn":
        code = (
            "import sys, pickle; file = pickle.load(sys.stdin.buffer); "
            "print(repr(float(file.pixels[3].sum())))"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], input=pickle.dumps(file), capture_output=True, check=True
        )
        assert float(out.stdout) == expected
        return
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    worker = context.Process(target=_sum, args=(file, 3, queue))
    worker.start()
    assert queue.get() == expected
    worker.join()


def test_equal_input_gives_equal_bytes(tmp_path, labelled_clips):
    write(tmp_path / "a.h5", labelled_clips(missing=0.2))
    time.sleep(1.1)
    write(tmp_path / "b.h5", labelled_clips(missing=0.2))
    assert sha256(tmp_path / "a.h5") == sha256(tmp_path / "b.h5")


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.h5: no such file"):
        ImageFile(tmp_path / "gone.h5")


def test_foreign_files_are_named_for_what_they_are(tmp_path, data_file):
    junk = tmp_path / "junk.h5"
    junk.write_bytes(b"\x89HDF junk")
    with pytest.raises(DataError, match=r"junk\.h5: expected an HDF5 file"):
        ImageFile(junk)
    with pytest.raises(DataError, match=r"format skelaug\.images, got 'skelaug\.sequences'"):
        ImageFile(data_file)


def test_another_version_is_refused_by_name(tmp_path, labelled_clips):
    write(tmp_path / "images.h5", labelled_clips())
    with h5py.File(tmp_path / "images.h5", "r+") as hdf:
        hdf.attrs["format_version"] = 9
    with pytest.raises(DataError, match="format_version is 9, this program reads 1"):
        ImageFile(tmp_path / "images.h5")


def _drop(key):
    def damage(hdf):
        del hdf[key]

    return damage


def _replace(key, value):
    def damage(hdf):
        del hdf[key]
        hdf[key] = value

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *[_drop(key) for key in ("pixels", "name", "origin", "observed", "fps", "heading")],
        _replace("pixels", np.zeros((24, 3, 20, 12), np.float32)),
        _replace("pixels", np.zeros((24, 3, 20, 24), np.float64)),
        _replace("pixels", np.float32(1)),
        _replace("label", np.zeros(5, np.int32)),
        _replace("origin", np.zeros((5, 3))),
        lambda hdf: hdf.attrs.pop("codec"),
        lambda hdf: hdf.attrs.__setitem__("codec", "{}"),
        lambda hdf: hdf.attrs.__setitem__("classes", "3"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, labelled_clips, damage):
    path = tmp_path / "images.h5"
    write(path, labelled_clips())
    with h5py.File(path, "r+") as hdf:
        damage(hdf)
    with pytest.raises(DataError) as caught:
        ImageFile(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(tmp_path, labelled_clips):
    path = tmp_path / "images.h5"
    write(path, labelled_clips())
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"images\.h5: "):
            ImageFile(path)


def test_what_does_not_fit_leaves_no_file(tmp_path, labelled_clips):
    clips = labelled_clips()
    path = tmp_path / "images.h5"
    for faulty, changes, says in [
        (clips, {"count": 25}, "expected 25 clips, got 24"),
        (clips, {"count": 23}, "expected 23 clips, got more"),
        ([clips[0], clips[0]], {}, "names must be unique"),
        (clips, {"classes": ("walk",)}, "'kick forward' is not one of the file's classes"),
        (clips, {"codec": ImageCodec(clips[0].layout, scale=0.1)}, "expected positions within"),
    ]:
        with pytest.raises(DataError, match=says):
            write(path, faulty, **changes)
    codec = ImageCodec(clips[0].layout)
    with pytest.raises(DataError, match="expected some clips, got 0"):
        write_images(path, [], ImageSchema(codec, (), 0), provenance=[])
    assert list(tmp_path.iterdir()) == []


@FORKS
def test_a_killed_write_leaves_the_old_file(tmp_path, labelled_clips):
    path = tmp_path / "images.h5"
    clips = labelled_clips()
    schema = write(path, clips)
    before = hashlib.sha256(path.read_bytes()).hexdigest()

    def endless():
        yield clips[0]
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            write_images(path, endless(), schema, provenance=[])
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.glob(".images.h5.*.part"))
    write(path, clips)
    assert [file.name for file in tmp_path.iterdir()] == ["images.h5"]
    assert json.loads(json.dumps(ImageFile(path).provenance)) == [RECORD]
