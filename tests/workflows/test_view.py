"""Which clips are drawn: those named, else evenly spaced ones of every class."""

import numpy as np
import pytest
from PIL import Image

from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.workflows.view import ViewConfig, run


def chosen(data_file, tmp_path, **options):
    config = ViewConfig(file=data_file, output=tmp_path / "a.png", dry_run=True, **options)
    return run(config).clips


def test_every_class_gets_its_share_and_no_clip_comes_twice(data_file, tmp_path):
    clips = chosen(data_file, tmp_path, n=10)
    assert len({clip.index for clip in clips}) == 10
    labels = [clip.label for clip in clips]
    assert sorted(labels.count(label) for label in set(labels)) == [2, 2, 3, 3]


def test_fewer_clips_than_classes_are_of_different_classes(data_file, tmp_path):
    assert len({clip.label for clip in chosen(data_file, tmp_path, n=3)}) == 3


def test_more_clips_than_there_are_gives_all(data_file, tmp_path):
    assert len(chosen(data_file, tmp_path, n=500)) == 24


def test_labels_match_by_part_and_choose_from_their_class_alone(data_file, tmp_path):
    clips = chosen(data_file, tmp_path, labels=("KICK",), n=4)
    assert {clip.label for clip in clips} == {"kick forward"}
    assert len(clips) == 4


def test_clips_are_named_by_number_range_or_name_in_the_order_given(data_file, tmp_path):
    clips = chosen(data_file, tmp_path, clips=("7", "2-4", "walk 1-0"))
    assert [clip.index for clip in clips] == [7, 2, 3, 4, 6]


@pytest.mark.parametrize("clip", ["24", "5-3", "20-24", "wlk 1-0", "-1"])
def test_a_clip_that_is_not_there_is_named(data_file, tmp_path, clip):
    with pytest.raises(NotFoundError, match="no clip"):
        chosen(data_file, tmp_path, clips=(clip,))


def test_a_file_without_labels_can_be_drawn(make_sequence, write_file, tmp_path):
    file = write_file(tmp_path / "a.h5", [make_sequence("", name=str(k)) for k in range(3)])
    assert [clip.label for clip in chosen(file, tmp_path, n=2)] == ["", ""]


def test_a_class_without_a_clip_says_so(make_sequence, write_file, tmp_path):
    file = write_file(tmp_path / "a.h5", [make_sequence("walk")], classes=("walk", "jump"))
    with pytest.raises(NotFoundError, match="'jump'"):
        chosen(file, tmp_path, labels=("jump",))


def test_a_file_without_clips_says_so(write_file, make_sequence, tmp_path):
    from skelaug.data.store import Schema, write_sequences

    schema = Schema(make_sequence().layout, ("walk",))
    write_sequences(tmp_path / "a.h5", [], schema, provenance=[])
    with pytest.raises(DataError, match="no clips"):
        chosen(tmp_path / "a.h5", tmp_path)


@pytest.mark.parametrize(
    ("output", "kind"), [("a.html", "auto"), ("a", "auto"), ("a.gif", "images"), ("a.jpg", "auto")]
)
def test_only_png_and_gif_are_drawn_and_images_only_as_png(data_file, tmp_path, output, kind):
    with pytest.raises(UsageError, match=r"\.png"):
        run(ViewConfig(file=data_file, output=tmp_path / output, kind=kind))


@pytest.mark.parametrize("output", ["a.png", "a.gif", "A.PNG"])
def test_the_ending_says_what_is_written_and_an_old_picture_is_kept(data_file, tmp_path, output):
    path = tmp_path / output
    report = run(ViewConfig(file=data_file, output=path, n=2))
    assert report.written
    with Image.open(path) as image:
        assert image.format == path.suffix[1:].upper()
    with pytest.raises(UsageError, match="--force"):
        run(ViewConfig(file=data_file, output=path, n=2))
    run(ViewConfig(file=data_file, output=path, n=1, force=True))


def test_sequences_can_be_drawn_as_images_and_images_as_figures(data_file, tmp_path):
    from skelaug.workflows import images

    run(ViewConfig(file=data_file, output=tmp_path / "maps.png", n=4, kind="images"))
    images.run(images.ImagesConfig(data=data_file, out=tmp_path / "images.h5"))
    report = run(ViewConfig(file=tmp_path / "images.h5", output=tmp_path / "b.png", n=4))
    assert report.kind == "images"
    report = run(ViewConfig(file=tmp_path / "images.h5", output=tmp_path / "b.gif", n=1))
    assert report.kind == "figures"
    drawn = [np.asarray(Image.open(tmp_path / name)) for name in ("maps.png", "b.png")]
    assert drawn[0].shape == drawn[1].shape


@pytest.mark.data
def test_clips_of_two_persons_of_a_real_set_are_drawn(shared_data, write_file, tmp_path):
    from skelaug.skeleton.layouts import get_layout
    from skelaug.skeleton.sequence import SkeletonSequence

    data = np.load(next((shared_data / "sbu_kinect_interaction").glob("*.npz")))
    clips = []
    for index in range(0, 280, 40):
        rows = slice(data["offsets"][index], data["offsets"][index + 1])
        clip = SkeletonSequence(
            positions=data["joints"][rows],
            observed=np.ones(data["joints"][rows].shape[:3], dtype=bool),
            layout=get_layout("sbu_15"),
            fps=float(data["fps"]),
            name=str(index),
            label=str(data["class_names"][data["label"][index]]),
        )
        clips.append(clip)
    file = write_file(tmp_path / "sbu.h5", clips)
    for ending in ("png", "gif"):
        run(ViewConfig(file=file, output=tmp_path / f"a.{ending}"))
