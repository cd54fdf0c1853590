import json

import numpy as np
import pytest

from skelaug.data.store import SequenceFile

MODEL = ("--model", "lifter")


def test_people_see_how_many_clips_were_lifted(skelaug, sandbox):
    done = skelaug("lift", "filmed.h5", *MODEL)
    assert done.code == 0, done.err
    assert done.out.startswith("lifted 24 clips to filmed.lifted.h5\n")
    with SequenceFile(sandbox / "filmed.lifted.h5") as file:
        assert file.has_keypoints
        assert np.isfinite(file[0].positions).all()


def test_a_rejected_clip_ends_with_exit_code_6_and_is_named(skelaug, sandbox, write_file):
    with SequenceFile(sandbox / "filmed.h5") as file:
        clips = [file[0], file[1].replaced(keypoints=np.full_like(file[1].keypoints, np.nan))]
    write_file(sandbox / "some.h5", clips, has_keypoints=True)
    done = skelaug("lift", "some.h5", *MODEL, "--json")
    assert done.code == 6
    report = json.loads(done.out)
    assert (report["lifted"], report["clips"]) == (1, 2)
    assert [one["name"] for one in report["rejected"]] == [clips[1].name]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("filmed.h5", "--model", "nowhere"), 5, "nowhere"),
        (("filmed.h5", "--model", "prior"), 3, "skelaug train lifter"),
        (("data.h5", *MODEL), 3, "got 3D poses alone"),
        (("pixels.npz", *MODEL), 2, "--size WxH"),
        (("pixels.npz", *MODEL, "--size", "wide", "--fps", "30"), 2, "1920x1080"),
        (("filmed.h5", *MODEL, "--part", "test"), 2, "--split RULE"),
        (("filmed.h5", *MODEL, "-o", "filmed.h5", "--force"), 2, "is an input"),
    ],
)
def test_mistakes_are_one_line_with_their_code(skelaug, arguments, code, words):
    failed = skelaug("lift", *arguments, "--quiet")
    assert failed.code == code
    assert words in failed.error
