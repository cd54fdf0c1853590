import json
import os
import signal

import numpy as np
import pytest

from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError, UsageError
from skelaug.skeleton.layouts import LAYOUTS

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
KINECT = LAYOUTS["kinect_20"]
PLAN = {"seed": 3, "labels": ["walk"]}
COUNT = 4


def folder_at(path, plan=PLAN, count=COUNT):
    return ShardFolder(path / "out.h5", count=count, plan=plan)


def write_shard(folder, index, make_sequence, **options):
    clips = [
        make_sequence(name=f"{index}-{i}", seed=10 * index + i, **options) for i in range(index + 1)
    ]
    schema = Schema(clips[0].layout, ("walk",), persons=clips[0].num_persons)
    write_sequences(folder.path(index), clips, schema, provenance=[])
    return clips


def run(path, make_sequence, *, resume=False, stop=None):
    """A job that writes the missing shards and joins them; it may be killed at shard `stop`."""
    folder = folder_at(path)
    folder.open(resume=resume)
    written = []
    for index in folder.missing():
        if index == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        write_shard(folder, index, make_sequence)
        written.append(index)
    folder.join(classes=["walk"], provenance=[{"command": "synth"}])
    return written


def killed(job):
    child = os.fork()
    if child == 0:
        try:
            job()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_joined_shards_are_the_file_that_one_write_makes(tmp_path, make_sequence):
    run(tmp_path, make_sequence)
    clips = [
        make_sequence(name=f"{s}-{i}", seed=10 * s + i) for s in range(COUNT) for i in range(s + 1)
    ]
    write_sequences(
        tmp_path / "one.h5", clips, Schema(KINECT, ("walk",)), provenance=[{"command": "synth"}]
    )
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "out.h5"]


@FORKS
@pytest.mark.parametrize("stop", range(COUNT))
def test_a_killed_job_resumes_to_the_same_bytes(tmp_path, make_sequence, stop):
    whole, again = tmp_path / "whole", tmp_path / "again"
    run(whole, make_sequence)
    killed(lambda: run(again, make_sequence, stop=stop))
    assert not (again / "out.h5").exists()
    assert folder_at(again).missing() == [*range(stop, COUNT)]
    assert run(again, make_sequence, resume=True) == [*range(stop, COUNT)]
    assert (again / "out.h5").read_bytes() == (whole / "out.h5").read_bytes()
    assert [path.name for path in again.iterdir()] == ["out.h5"]


@FORKS
def test_a_kill_inside_a_shard_loses_that_shard_alone(tmp_path, make_sequence):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)

    def die():
        def clips():
            yield make_sequence()
            os.kill(os.getpid(), signal.SIGKILL)

        write_sequences(folder.path(1), clips(), Schema(KINECT, ("walk",)), provenance=[])

    killed(die)
    assert folder.missing() == [1, 2, 3]
    run(tmp_path, make_sequence, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@FORKS
def test_a_kill_while_joining_loses_nothing(tmp_path, make_sequence, monkeypatch):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    for index in range(COUNT):
        write_shard(folder, index, make_sequence)

    def die():
        monkeypatch.setattr(SequenceFile, "__iter__", lambda _: os.kill(os.getpid(), 9))
        folder.join(classes=["walk"], provenance=[])

    killed(die)
    assert folder.missing() == []
    assert run(tmp_path, make_sequence, resume=True) == []
    assert len(SequenceFile(tmp_path / "out.h5")) == 10


def test_shards_of_an_unfinished_run_want_a_decision(tmp_path, make_sequence):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    with pytest.raises(UsageError, match=r"--resume to go on or --force to start anew"):
        folder_at(tmp_path).open(resume=False)
    folder_at(tmp_path).open(resume=True)
    assert folder.missing() == [1, 2, 3]
    folder_at(tmp_path).open(resume=False, force=True)
    assert folder.missing() == [0, 1, 2, 3]
    assert json.loads((folder.folder / "plan.json").read_text())["seed"] == 3


@pytest.mark.parametrize(
    ("plan", "count"), [({**PLAN, "seed": 4}, COUNT), (PLAN, COUNT + 1), ({}, COUNT)]
)
def test_shards_of_another_plan_are_refused(tmp_path, make_sequence, plan, count):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    other = folder_at(tmp_path, plan, count)
    with pytest.raises(UsageError, match="belong to other settings or inputs"):
        other.open(resume=True)
    assert folder.path(0).exists()
    other.open(resume=True, force=True)
    assert other.missing() == [*range(count)]


def test_resume_and_force_together_keep_the_shards_of_the_same_plan(tmp_path, make_sequence):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    folder.open(resume=True, force=True)
    assert folder.missing() == [1, 2, 3]


def test_the_order_of_settings_does_not_make_another_plan(tmp_path):
    folder_at(tmp_path, {"a": 1, "b": 2}).open(resume=False)
    folder_at(tmp_path, {"b": 2, "a": 1}).open(resume=True)


def test_a_missing_shard_is_named(tmp_path, make_sequence):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    with pytest.raises(DataError, match=r"out\.h5\.parts: shard 1 is missing; add --resume"):
        folder.join(classes=["walk"], provenance=[])
    with pytest.raises(DataError, match="no shards to join"):
        folder_at(tmp_path, count=0).join(classes=[], provenance=[])


def test_a_damaged_shard_is_named_and_no_output_appears(tmp_path, make_sequence):
    folder = folder_at(tmp_path, count=2)
    folder.open(resume=False)
    for index in range(2):
        write_shard(folder, index, make_sequence)
    folder.path(1).write_bytes(folder.path(1).read_bytes()[:-100])
    with pytest.raises(DataError, match=r"00001\.h5"):
        folder.join(classes=["walk"], provenance=[])
    assert not (tmp_path / "out.h5").exists()


def test_shards_of_different_layouts_are_not_joined(tmp_path, make_sequence):
    folder = folder_at(tmp_path, count=2)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    write_shard(folder, 1, make_sequence, layout="ntu_25")
    with pytest.raises(DataError, match="expected layout kinect_20, got ntu_25"):
        folder.join(classes=["walk"], provenance=[])
    assert folder.missing() == []


def test_the_output_has_the_most_persons_and_any_confidence(tmp_path, make_sequence):
    folder = folder_at(tmp_path, count=2)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    pair = make_sequence(name="pair", persons=2)
    pair = pair.replaced(confidence=np.full(pair.observed.shape, 0.5, np.float32))
    schema = Schema(KINECT, ("walk",), persons=2, has_confidence=True)
    write_sequences(folder.path(1), [pair], schema, provenance=[])
    folder.join(classes=["walk"], provenance=[])
    file = SequenceFile(tmp_path / "out.h5")
    assert (file.persons, file.has_confidence) == (2, True)
    np.testing.assert_array_equal(file[0].confidence[:, 0], 1)
    assert not file[0].observed[:, 1].any()
    np.testing.assert_array_equal(file[1].confidence, 0.5)


def test_removing_leaves_files_of_others(tmp_path, make_sequence):
    folder = folder_at(tmp_path)
    folder.open(resume=False)
    write_shard(folder, 0, make_sequence)
    (folder.folder / "notes.txt").write_text("mine")
    folder.remove()
    assert [path.name for path in folder.folder.iterdir()] == ["notes.txt"]
