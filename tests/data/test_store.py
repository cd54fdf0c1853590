import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skelaug.data.store import AXES, Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, NotFoundError, StorageError
from skelaug.files import sha256
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.skeleton.sequence import SkeletonSequence, Source

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
TWO = SkeletonLayout(name="two", joints=("a", "b"), parents=(-1, 0))
CLASSES = ("kick", "wave ∂ 手", "")
NUMBER = st.integers(-1, 2**31 - 1)


def same(got, expected, *, persons=None):
    """The two clips agree in everything; further person slots of `got` are unobserved."""
    m = expected.num_persons
    assert got.num_persons == (persons or m)
    np.testing.assert_array_equal(got.positions[:, :m], expected.positions)
    np.testing.assert_array_equal(got.observed[:, :m], expected.observed)
    assert np.isnan(got.positions[:, m:]).all()
    assert not got.observed[:, m:].any()
    for key in ("fps", "name", "label", "subject", "camera", "setup", "source", "seed", "layout"):
        assert getattr(got, key) == getattr(expected, key)


@st.composite
def clips(draw):
    """Some clips of two joints with any finite or missing positions."""
    result = []
    for number in range(draw(st.integers(0, 5))):
        shape = (draw(st.integers(0, 6)), draw(st.integers(1, 3)), 2)
        positions = draw(
            hnp.arrays(np.float32, (*shape, 3), elements=st.floats(width=32, allow_infinity=False))
        )
        result.append(
            SkeletonSequence(
                positions=positions,
                observed=draw(hnp.arrays(np.bool_, shape)),
                confidence=draw(
                    st.none() | hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
                ),
                layout=TWO,
                fps=draw(st.floats(0.125, 1000, width=32)),
                name=f"{number} " + draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]))),
                label=draw(st.sampled_from(CLASSES)),
                subject=draw(NUMBER),
                camera=draw(NUMBER),
                setup=draw(NUMBER),
                source=draw(st.sampled_from(Source)),
                seed=draw(st.integers(-1, 2**63 - 1)),
            )
        )
    return result


@settings(max_examples=40)
@given(clips(), st.booleans())
def test_clips_come_back_as_they_were(tmp_path_factory, sequences, has_confidence):
    path = tmp_path_factory.mktemp("store") / "data.h5"
    schema = Schema(TWO, CLASSES[:2], persons=3, has_confidence=has_confidence)
    assert write_sequences(path, sequences, schema, provenance=[{"b": 1, "a": [2]}]) == len(
        sequences
    )
    with SequenceFile(path) as file:
        assert len(file) == len(sequences)
        assert (file.layout, file.classes) == (TWO, CLASSES[:2])
        assert (file.persons, file.channels, file.has_confidence) == (3, 3, has_confidence)
        assert file.provenance == [{"a": [2], "b": 1}]
        for got, expected in zip(file, sequences, strict=True):
            same(got, expected, persons=3)
            if has_confidence:
                stored = expected.confidence
                stored = expected.observed if stored is None else stored
                m = expected.num_persons
                np.testing.assert_array_equal(got.confidence[:, :m], stored)
                assert (got.confidence[:, m:] == 0).all()
            else:
                assert got.confidence is None


def test_tables_describe_all_clips_at_once(data_file, labelled_clips):
    expected = labelled_clips()
    file = SequenceFile(data_file)
    assert file.names == [clip.name for clip in expected]
    assert [file.label_name(i) for i in range(len(file))] == [clip.label for clip in expected]
    np.testing.assert_array_equal(file.lengths, [clip.num_frames for clip in expected])
    np.testing.assert_allclose(file.durations, [clip.duration for clip in expected])
    np.testing.assert_array_equal(file.subjects, [clip.subject for clip in expected])
    assert set(file.seeds) == set(file.cameras) == set(file.setups) == {-1}
    assert set(file.sources) == {0}


def test_two_coordinates_are_stored_as_two(tmp_path):
    layout = LAYOUTS["coco_17"]
    flat = SkeletonSequence(
        np.ones((5, 1, 17, 2), np.float32), np.ones((5, 1, 17), np.bool_), layout, 25.0, "flat"
    )
    write_sequences(tmp_path / "d.h5", [flat], Schema(layout, (), channels=2), provenance=[])
    same(SequenceFile(tmp_path / "d.h5")[0], flat)


def test_the_file_says_what_the_design_promises(data_file):
    with h5py.File(data_file) as file:
        assert dict(file.attrs)["format"] == "skelaug.sequences"
        assert file.attrs["format_version"] == 1
        assert (file.attrs["units"], file.attrs["axes"]) == ("m", AXES)
        assert json.loads(file.attrs["layout"])["name"] == "kinect_20"
        types = {key: file[key].dtype for key in file}
        frames = file["positions"].shape[0]
        assert file["positions"].shape == (frames, 1, 20, 3)
        assert file["positions"].compression == "gzip"
        assert file["positions"].shuffle
        assert file["observed"].shape == (frames, 1, 20)
    names = {key: types.pop(key) for key in ("name", "observed")}
    assert h5py.check_string_dtype(names["name"]).encoding == "utf-8"
    assert names["observed"] == np.bool_
    assert types == {
        "positions": np.float32, "offsets": np.int64, "label": np.int32, "subject": np.int32,
        "camera": np.int32, "setup": np.int32, "fps": np.float32, "source": np.uint8,
        "seed": np.int64,
    }  # fmt: skip


def test_equal_input_gives_equal_bytes_whatever_the_clock_says(
    tmp_path, labelled_clips, write_file
):
    write_file(tmp_path / "a.h5", labelled_clips(missing=0.2))
    time.sleep(1.1)
    write_file(tmp_path / "b.h5", labelled_clips(missing=0.2))
    assert sha256(tmp_path / "a.h5") == sha256(tmp_path / "b.h5")


def test_pending_clips_do_not_change_what_is_written(tmp_path, make_sequence, write_file):
    """Clips that are shorter, equal to and longer than the block that is written at once."""
    lengths = [1, 8000, 191, 1, 8192, 20000, 0, 5]
    sequences = [make_sequence(name=str(i), frames=n) for i, n in enumerate(lengths)]
    file = SequenceFile(write_file(tmp_path / "data.h5", sequences))
    for got, expected in zip(file, sequences, strict=True):
        same(got, expected)


def test_an_index_is_a_clip_or_an_index_error(data_file):
    file = SequenceFile(data_file)
    assert file[np.int64(3)].name == file.names[3]
    for index in (-1, 24):
        with pytest.raises(IndexError, match=f"clip {index} of 24"):
            file[index]


def test_a_closed_file_opens_again(data_file):
    with SequenceFile(data_file) as file:
        first = file[0]
    same(file[0], first)


def test_a_pickled_file_opens_its_own_handle(data_file):
    file = SequenceFile(data_file)
    same(pickle.loads(pickle.dumps(file))[5], file[5])


def _total(file, order, queue):
    queue.put([float(np.nansum(file[int(i)].positions)) for i in order])


@FORKS
def test_forked_workers_read_at_the_same_time(data_file):
    file = SequenceFile(data_file)
    expected = [float(np.nansum(clip.positions)) for clip in file]
    context = multiprocessing.get_context("fork")
    orders = [np.random.default_rng(seed).permutation(24) for seed in range(4)]
    queues = [context.SimpleQueue() for _ in orders]
    workers = [
        context.Process(target=_total, args=(file, np.tile(order, 3), queue))
        for order, queue in zip(orders, queues, strict=True)
    ]
    for worker in workers:
        worker.start()
    for _ in range(3):
        assert [float(np.nansum(clip.positions)) for clip in file] == expected
    for order, queue, worker in zip(orders, queues, workers, strict=True):
        assert queue.get() == [expected[i] for i in np.tile(order, 3)]
        worker.join()


@FORKS
@pytest.mark.parametrize("after", [0, 300])
def test_a_killed_write_leaves_the_old_file(tmp_path, make_sequence, write_file, after):
    path = write_file(tmp_path / "data.h5", [make_sequence()])
    before = path.read_bytes()

    def endless():
        for number in range(after):
            yield make_sequence(name=str(number), frames=100)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            schema = Schema(LAYOUTS["kinect_20"], ("walk",))
            write_sequences(path, endless(), schema, provenance=[])
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".data.h5.*.part"))
    write_file(path, [make_sequence(name="new")])
    assert SequenceFile(path).names == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]


def test_an_error_while_clips_are_made_leaves_nothing(tmp_path, make_sequence):
    def broken():
        yield make_sequence()
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        write_sequences(
            tmp_path / "d.h5", broken(), Schema(LAYOUTS["kinect_20"], ("walk",)), provenance=[]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.h5: no such file"):
        SequenceFile(tmp_path / "gone.h5")
    with pytest.raises(NotFoundError, match="no such file"):
        SequenceFile(tmp_path)


def test_a_file_that_is_no_hdf5_is_named(tmp_path):
    for content in (b"", b"junk", b"\x89HDF\r\n\x1a\n", os.urandom(4096)):
        path = tmp_path / "junk.h5"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"junk\.h5: .*skelaug convert") as caught:
            SequenceFile(path)
        assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(data_file):
    whole = data_file.read_bytes()
    for size in (100, len(whole) // 2, len(whole) - 1):
        data_file.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"data\.h5: "):
            SequenceFile(data_file)


def test_foreign_formats_and_other_versions_are_refused_by_name(data_file):
    with h5py.File(data_file, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(DataError, match="format_version is 2, this program reads 1; update"):
        SequenceFile(data_file)
    with h5py.File(data_file, "r+") as file:
        file.attrs["format"] = "keras"
    with pytest.raises(DataError, match=r"expected format skelaug\.sequences, got 'keras'"):
        SequenceFile(data_file)
    with h5py.File(data_file, "w"):
        pass
    with pytest.raises(DataError, match="got None"):
        SequenceFile(data_file)


def _drop(key):
    def damage(file):
        del file[key]

    return damage


def _replace(key, change):
    def damage(file):
        value = change(file[key][()])
        del file[key]
        file[key] = value

    return damage


def _attribute(key, value):
    return lambda file: file.attrs.__setitem__(key, value)


def _group(file):
    del file["positions"]
    file.create_group("positions")


@pytest.mark.parametrize(
    "damage",
    [
        *[_drop(key) for key in ("positions", "observed", "offsets", "name", "fps", "seed")],
        _group,
        _replace("positions", lambda x: x[:, :, :19]),
        _replace("positions", lambda x: x[:-1]),
        _replace("positions", lambda x: x[..., 0]),
        _replace("observed", lambda x: x[:-1]),
        _replace("offsets", lambda x: x[:-1]),
        _replace("offsets", lambda x: x + 1),
        _replace("offsets", lambda x: x[::-1]),
        _replace("offsets", lambda x: np.r_[x[:2] * [1, 0], -1, x[3:]]),
        _replace("offsets", lambda x: 3),
        _replace("label", lambda x: x + 4),
        _replace("label", lambda x: x[:-1]),
        _replace("name", lambda x: x[:-1]),
        _replace("name", lambda x: np.array([b"\xff\xfe"] * 24)),
        _attribute("layout", "{}"),
        _attribute("layout", LAYOUTS["ntu_25"].to_json()),
        _attribute("classes", "7"),
        _attribute("provenance", "{"),
        lambda file: file.attrs.pop("classes"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(data_file, damage):
    with h5py.File(data_file, "r+") as file:
        damage(file)
    with pytest.raises(DataError) as caught:
        SequenceFile(data_file)
    assert str(caught.value).startswith(f"{data_file}: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_block_of_frames_is_found_when_it_is_read(data_file):
    with h5py.File(data_file) as file:
        chunk = file["positions"].id.get_chunk_info(0)
    content = bytearray(data_file.read_bytes())
    content[chunk.byte_offset + 50 : chunk.byte_offset + 90] = bytes(40)
    data_file.write_bytes(content)
    file = SequenceFile(data_file)
    with pytest.raises(DataError, match=r"data\.h5: expected a whole skelaug\.sequences file"):
        file[0]


def test_an_unknown_source_is_a_data_error(data_file):
    with h5py.File(data_file, "r+") as file:
        file["source"][0] = 9
    with pytest.raises(DataError, match=r"data\.h5: .*9"):
        SequenceFile(data_file)[0]


def test_other_number_types_of_a_hand_made_file_are_understood(data_file):
    before = [*SequenceFile(data_file)]
    with h5py.File(data_file, "r+") as file:
        for key, kind in [("positions", "f8"), ("observed", "i1"), ("label", "i8"), ("fps", "f8")]:
            _replace(key, lambda x, kind=kind: x.astype(kind))(file)
    for got, expected in zip(SequenceFile(data_file), before, strict=True):
        same(got, expected)
        assert (got.positions.dtype, got.observed.dtype) == (np.float32, np.bool_)


def test_a_clip_that_does_not_fit_is_refused_by_name(tmp_path, make_sequence):
    good = make_sequence()
    for bad, says in [
        (make_sequence(layout="ntu_25", name="b"), "expected layout kinect_20, got ntu_25"),
        (good, "names must be unique"),
        (make_sequence("kick", name="b"), "class 'kick' is not one of the file's classes"),
        (make_sequence(persons=2, name="b"), "at most 1 persons and 3 coordinates, got 2 and 3"),
        (
            good.replaced(positions=good.positions[..., :2], name="b"),
            "at most 1 persons and 3 coordinates, got 1 and 2",
        ),
        (make_sequence(name="b\0"), "no UTF-8 text"),
        (make_sequence(name="b\udcff"), "no UTF-8 text"),
    ]:
        with pytest.raises(DataError, match="clip ") as caught:
            write_sequences(
                tmp_path / "d.h5", [good, bad], Schema(good.layout, ("walk",)), provenance=[]
            )
        assert says in str(caught.value)
    with pytest.raises(DataError, match="classes: expected different names"):
        write_sequences(tmp_path / "d.h5", [good], Schema(good.layout, ("a", "a")), provenance=[])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_storage_error(tmp_path, make_sequence, write_file):
    path = write_file(tmp_path / "data.h5", [make_sequence()])
    before = path.read_bytes()

    def full():
        yield make_sequence()
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"data\.h5: the disk is full"):
        write_sequences(path, full(), Schema(LAYOUTS["kinect_20"], ("walk",)), provenance=[])
    assert path.read_bytes() == before


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    """Writing and reading 64 times the clips needs hardly more memory."""
    code = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from skelaug.data.store import Schema, SequenceFile, write_sequences
    from skelaug.skeleton.layouts import LAYOUTS
    from skelaug.skeleton.sequence import SkeletonSequence
    layout, count, path = LAYOUTS["ntu_25"], int(sys.argv[1]), Path(sys.argv[2])
    rng = np.random.default_rng(0)
    def clips():
        for n in range(count):
            positions = rng.normal(size=(80, 2, 25, 3)).astype(np.float32)
            yield SkeletonSequence(positions, np.ones((80, 2, 25), bool), layout, 30.0, str(n))
    write_sequences(path, clips(), Schema(layout, (), persons=2), provenance=[])
    with SequenceFile(path) as file:
        total = sum(float(clip.positions[0, 0, 0, 0]) for clip in file)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """

    def peak(count):
        arguments = [
            sys.executable,
            "-c",
            textwrap.dedent(code),
            str(count),
            str(tmp_path / "m.h5"),
        ]
        return int(subprocess.run(arguments, capture_output=True, check=True).stdout)

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    data = 6400 * 80 * 2 * 25 * 3 * 4
    assert (peak(6400) - peak(100)) * unit < 0.1 * data
