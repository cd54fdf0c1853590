"""Who is told that clips are read at another tempo."""

import pytest

from skelaug.workflows.tempo import tempo_warnings


@pytest.mark.parametrize(
    ("rate", "read", "looks"),
    [
        (30.0, None, None),
        (60.0, None, None),
        (119.0, None, None),  # every fourth frame: 29.75
        (27.5, None, None),
        (33.0, None, None),
        (27.0, "27", "faster"),
        (25.0, "25", "faster"),
        (45.0, "22.5", "faster"),  # every second frame
        (40.0, "40", "slower"),
    ],
)
def test_a_clip_is_told_if_the_nearest_stride_leaves_more_than_a_tenth(rate, read, looks):
    told = tempo_warnings([rate, 30.0], 30.0, where="a.h5", whose="model m knows")
    if read is None:
        assert told == []
    else:
        assert told == [
            f"a.h5: 1 clips are read at {read} frames per second, model m knows 30: their motions "
            f"look {looks} than they are"
        ]


def test_several_rates_are_one_warning():
    (told,) = tempo_warnings([10, 15.0, 20, 40, 30], 30.0, where="a.h5", whose="w is")
    assert "4 clips are read at 10 to 40 frames per second, w is 30" in told
    assert told.endswith("look faster or slower than they are")
