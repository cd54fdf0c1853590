"""The three real sets from their archives: counts, people, splits, and that classes are learnable.

The accuracies are those of one nearest neighbour across subjects (views for NW-UCLA) on clips
resampled to 24 frames, as they were found independently when the sets were gathered.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from skelaug.data.splits import split_clips
from skelaug.data.store import SequenceFile
from skelaug.skeleton.geometry import fill_missing, heading_angle, resample, rotate_about_y
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.convert import ConvertConfig, run

pytestmark = [pytest.mark.data, pytest.mark.slow]

ARCHIVES = {
    "utd-mhad": "utd_mhad_skeleton.tar.xz",
    "nw-ucla": "nw_ucla_all_sqe.tar.xz",
    "hdm05": "hdm05_subset11_asf_amc.tar.xz",
}
# clips, classes, subjects, training and test clips, nearest-neighbour accuracy
FACTS = {
    "utd-mhad": (861, 27, range(1, 9), (431, 430), 0.82),
    "nw-ucla": (1484, 10, range(1, 11), (1020, 464), 0.70),
    "hdm05": (288, 11, range(101, 106), (189, 99), 0.95),
}


def features(clip: SkeletonSequence) -> NDArray[np.float64]:
    filled = fill_missing(clip.positions, clip.observed, clip.layout)[:, 0]
    turned = rotate_about_y(filled, -heading_angle(filled, clip.layout))
    centred = turned - turned[:1, [clip.layout.root]]
    return resample(centred, 24).ravel()


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_read_whole(shared_data: Path, tmp_path: Path, name: str) -> None:
    clips, classes, subjects, parts, accuracy = FACTS[name]
    out = tmp_path / "out.h5"
    report = run(ConvertConfig(sources=(shared_data / ARCHIVES[name],), out=out))
    assert (report.read, report.rejected, report.skipped) == (clips, [], [])
    assert report.sources[0].format == name
    assert report.copies == (95 if name == "nw-ucla" else 0)
    assert len(report.repaired) == (2 if name == "nw-ucla" else 0)
    with SequenceFile(out) as file:
        assert len(file.classes) == classes
        assert sorted({*file.subjects.tolist()}) == list(subjects)
        split = split_clips(file, "official")
        assert (len(split.train), len(split.test)) == parts
        x = np.array([features(clip) for clip in file])
    train, test = x[split.train], x[split.test]
    squares = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
    found = file.labels[split.train][squares.argmin(axis=1)]
    assert np.mean(found == file.labels[split.test]) == pytest.approx(accuracy, abs=0.03)


def test_the_two_packaged_sets_become_one_file(shared_data: Path, tmp_path: Path) -> None:
    sources = tuple(shared_data / ARCHIVES[name] for name in ("utd-mhad", "hdm05"))
    config = ConvertConfig(sources=sources, out=tmp_path / "out.h5", layout="kinect_20", workers=2)
    report = run(config)
    assert report.read == 861 + 288
    assert report.unavailable == []
    assert [source.subject_offsets for source in report.sources] == [{"utd-mhad": 0}, {"hdm05": 0}]
    with SequenceFile(tmp_path / "out.h5") as file:
        assert len(file.classes) == 38
        assert sorted({*file.subjects.tolist()}) == [*range(1, 9), *range(101, 106)]
        assert sorted({*file.fps.tolist()}) == [30.0, 120.0]
        left = [
            np.linalg.norm(
                clip.positions[:, 0, clip.layout.index("left_knee")]
                - clip.positions[:, 0, clip.layout.index("left_hip")],
                axis=-1,
            ).mean()
            for clip in file
        ]
    assert 0.3 < min(left) < max(left) < 0.6  # metres: both sets have thighs of people
