import dataclasses

import numpy as np
import pytest

from skelaug import config as configuration
from skelaug.data.store import SequenceFile
from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.files import sha256
from skelaug.image.store import ImageFile
from skelaug.skeleton.layouts import LAYOUTS
from skelaug.workflows.images import PRESETS, ImagesConfig, run


def images(data, **options):
    out = data.with_name("images.h5")
    return run(ImagesConfig(data=data, out=out, **options)), ImageFile(out)


def test_a_sequence_file_becomes_images_and_its_clips_come_back(data_file):
    report, file = images(data_file, frames=40)
    source = SequenceFile(data_file)
    assert (report.clips, report.rejected, report.layout) == (24, [], "kinect_20")
    assert (report.frames, report.rows, report.persons) == (40, 20, 1)
    assert file.pixels.shape == (24, 3, 20, 40)
    assert np.abs(file.pixels).max() == 1.0
    assert (file.names, file.classes) == (source.names, source.classes)
    assert file.data_sha256 == sha256(data_file)
    for index, clip in enumerate(source):
        back = file.sequence(index)
        assert (back.num_frames, back.label) == (clip.num_frames, clip.label)
        np.testing.assert_allclose(back.positions, clip.positions, atol=0.05)


def test_the_file_says_what_made_it_but_not_when_or_where(data_file, tmp_path):
    _, file = images(data_file)
    assert [record["command"] for record in file.provenance] == ["test", "images"]
    assert file.provenance[1]["inputs"] == {"data.h5": sha256(data_file)}
    assert str(tmp_path) not in str(file.provenance)
    assert data_file.with_name("images.h5.run.json").is_file()


def test_equal_runs_write_equal_bytes(data_file):
    images(data_file)
    first = sha256(data_file.with_name("images.h5"))
    run(ImagesConfig(data=data_file, out=data_file.with_name("images.h5")), force=True)
    assert sha256(data_file.with_name("images.h5")) == first


def test_the_paper_preset_makes_24_by_24(data_file, tmp_path, labelled_clips, write_file):
    _, file = images(data_file, **PRESETS["paper"])
    assert file.pixels.shape[1:] == (3, 24, 24)
    ntu = write_file(tmp_path / "ntu.h5", labelled_clips(layout="ntu_25"))
    report = run(ImagesConfig(data=ntu, out=tmp_path / "ntu_images.h5", **PRESETS["paper"]))
    assert report.layout == "ntu_24"
    assert ImageFile(tmp_path / "ntu_images.h5").pixels.shape[1:] == (3, 24, 24)


def test_the_preset_yields_to_flags(data_file):
    config = configuration.load(
        ImagesConfig,
        preset=PRESETS["paper"],
        flags={"data": data_file, "out": data_file.with_name("x.h5"), "frames": 48},
    )
    assert (config.rows, config.frames) == (24, 48)


def test_clips_are_mapped_to_the_layout_that_is_asked_for(tmp_path, labelled_clips, write_file):
    ntu = write_file(tmp_path / "ntu.h5", labelled_clips(layout="ntu_25"))
    report, file = images(ntu, layout="kinect_20")
    assert (report.layout, file.layout) == ("kinect_20", LAYOUTS["kinect_20"])


def test_persons_are_as_many_as_any_clip_has(tmp_path, make_sequence, write_file):
    pair = make_sequence(name="pair", persons=2)
    alone = write_file(tmp_path / "alone.h5", [make_sequence()], persons=2)
    both = write_file(tmp_path / "both.h5", [make_sequence(), pair])
    assert images(alone)[0].persons == 1
    report = run(ImagesConfig(data=both, out=tmp_path / "both_images.h5"))
    assert report.persons == 2
    report = run(ImagesConfig(data=both, out=tmp_path / "one.h5", persons=1))
    assert (report.clips, [r.name for r in report.rejected]) == (1, ["pair"])
    assert "encode with persons = 2" in report.rejected[0].reason


def test_a_clip_without_a_measured_joint_is_rejected_and_listed(
    tmp_path, make_sequence, write_file
):
    empty = make_sequence(name="empty", missing=1.1)
    data = write_file(tmp_path / "data.h5", [make_sequence(name="a"), empty])
    report, file = images(data)
    assert file.names == ["a"]
    assert [rejected.name for rejected in report.rejected] == ["empty"]
    only = write_file(tmp_path / "only.h5", [empty])
    with pytest.raises(DataError, match=r"only\.h5: expected clips to encode, got none; the first"):
        run(ImagesConfig(data=only, out=tmp_path / "none.h5"))


def test_a_dry_run_says_the_same_and_writes_nothing(data_file):
    out = data_file.with_name("images.h5")
    config = ImagesConfig(data=data_file, out=out)
    planned = run(config, dry_run=True)
    assert [path.name for path in data_file.parent.iterdir()] == ["data.h5"]
    assert planned.model_copy(update={"dry_run": False}) == run(config)


def test_progress_counts_both_readings(data_file):
    counted = []

    @dataclasses.dataclass
    class Task:
        total: int

        def __enter__(self):
            return lambda count=1, *, note="": counted.append(count)

        def __exit__(self, *_):
            pass

    tasks = []

    def progress(description, *, total, done=0):
        tasks.append((description, total))
        return Task(total)

    run(ImagesConfig(data=data_file, out=data_file.with_name("i.h5")), progress=progress)
    assert tasks == [("encoding", 48)]
    assert sum(counted) == 48


def test_mistakes_of_the_user_are_one_line(data_file, tmp_path):
    out = tmp_path / "images.h5"
    out.write_text("mine")
    for config, error, says in [
        (ImagesConfig(data=data_file, out=out), UsageError, "already exists"),
        (ImagesConfig(data=tmp_path / "no.h5", out=tmp_path / "i.h5"), NotFoundError, "no such"),
        (ImagesConfig(data=out, out=tmp_path / "i.h5"), DataError, "expected an HDF5 file"),
        (
            ImagesConfig(data=data_file, out=tmp_path / "i.h5", rows=16),
            UsageError,
            "at least the 20 joints",
        ),
        (
            ImagesConfig(data=data_file, out=tmp_path / "i.h5", layout="ntu25"),
            NotFoundError,
            "did you mean 'ntu_25' or 'ntu_24'",
        ),
    ]:
        with pytest.raises(error, match=says):
            run(config)
    assert out.read_text() == "mine"
    with pytest.raises(UsageError, match="is an input of this command"):
        run(ImagesConfig(data=data_file, out=data_file), force=True)
