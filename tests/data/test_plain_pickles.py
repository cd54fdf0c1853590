"""Plain values come back; everything else is refused before it can act."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelaug.data.plain_pickles import plain_object
from skelaug.data.reading import DamagedError


def npz(value: Any, *, protocol: int | None = None) -> bytes:
    """An .npz with an array `a` that holds one object."""
    array = np.empty((), dtype=object)
    array[()] = value
    member, file = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(member, array, allow_pickle=True)
    content = member.getvalue()
    if protocol is not None:
        content = content[: content.index(b"\n") + 1] + pickle.dumps(array, protocol=protocol)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", content)
    return file.getvalue()


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
def test_plain_values_come_back(protocol: int | None) -> None:
    value = {
        "S1": {"Walking 1": [np.arange(6.0, dtype=np.float32).reshape(3, 2), np.zeros((0, 2))]},
        "metadata": (1, 2.5, "text", None, True, b"bytes"),
    }
    found = plain_object(npz(value, protocol=protocol), "a", path="x.npz")
    assert found["metadata"] == value["metadata"]
    first, empty = found["S1"]["Walking 1"]
    np.testing.assert_array_equal(first, [[0, 1], [2, 3], [4, 5]])
    assert first.dtype == np.float32
    assert empty.shape == (0, 2)


class Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(DamagedError, match=r"x\.npz: array 'a'.*asks for .*mkdir"):
        plain_object(npz({"S1": Evil(trace)}), "a", path="x.npz")
    assert not trace.exists()
    assert np.load(io.BytesIO(npz({"S1": Evil(trace)})), allow_pickle=True)["a"].size == 1
    assert trace.exists()  # the same file does act where pickles are trusted


def test_even_harmless_classes_are_refused() -> None:
    with pytest.raises(DamagedError, match=r"collections\.OrderedDict"):
        plain_object(npz(OrderedDict(a=1)), "a", path="x.npz")


def test_numbers_and_missing_names_are_refused() -> None:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    with pytest.raises(DamagedError, match="expected one object"):
        plain_object(file.getvalue(), "a", path="x.npz")
    with pytest.raises(DamagedError, match="no array 'positions'"):
        plain_object(npz({}), "positions", path="x.npz")


@settings(max_examples=100)
@given(st.data())
def test_no_damage_is_anything_but_an_error_or_a_value(draw: st.DataObject) -> None:
    good = npz({"S1": [np.ones((2, 3)), "text"]})
    start = draw.draw(st.integers(0, len(good)))
    junk = draw.draw(st.binary(max_size=20))
    try:
        plain_object(good[:start] + junk + good[start + 5 :], "a", path="x.npz")
    except DamagedError:
        return
