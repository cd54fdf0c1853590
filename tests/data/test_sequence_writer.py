import h5py
import numpy as np
import pytest

from skelaug.data.shards import ShardFolder
from skelaug.data.store import Schema, SequenceFile, write_sequences
from skelaug.errors import DataError


@pytest.fixture
def imputed(make_sequence):
    """A clip with gaps of which all but those of joint 3 were filled."""
    clip = make_sequence(missing=0.2, name="imputed", persons=2)
    uncertainty = np.where(clip.observed, 0, 0.05).astype(np.float32)
    uncertainty[:, :, 3][~clip.observed[:, :, 3]] = np.nan
    positions = np.where(np.isnan(uncertainty)[..., None], clip.positions, 1).astype(np.float32)
    positions[clip.observed] = clip.positions[clip.observed]
    return clip.replaced(positions=positions, uncertainty=uncertainty)


def test_uncertainty_comes_back_as_it_was_and_of_absent_persons_nothing_is_said(
    tmp_path, imputed, write_file
):
    path = write_file(tmp_path / "data.h5", [imputed], persons=3, has_uncertainty=True)
    with SequenceFile(path) as file:
        assert file.has_uncertainty
        np.testing.assert_array_equal(file[0].uncertainty[:, :2], imputed.uncertainty)
        assert np.isnan(file[0].uncertainty[:, 2]).all()
        np.testing.assert_array_equal(file.uncertainty(0, 1), file[0].uncertainty)
    with h5py.File(path) as file:
        assert file["uncertainty"].dtype == np.float32
        assert file["uncertainty"].shape == file["observed"].shape


def test_a_clip_that_says_nothing_is_sure_where_it_was_measured_and_nowhere_else(
    tmp_path, imputed, make_sequence, write_file
):
    clip = make_sequence(missing=0.2, name="other")
    path = write_file(tmp_path / "data.h5", [imputed, clip], has_uncertainty=True)
    with SequenceFile(path) as file:
        got = file[1].uncertainty[:, 0]
        np.testing.assert_array_equal(got[clip.observed[:, 0]], 0)
        assert np.isnan(got[~clip.observed[:, 0]]).all()


def test_a_file_without_uncertainty_is_the_same_bytes_whether_or_not_clips_have_it(
    tmp_path, imputed, write_file
):
    write_file(tmp_path / "a.h5", [imputed.replaced(uncertainty=None)])
    write_file(tmp_path / "b.h5", [imputed])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert "uncertainty" not in file
    with SequenceFile(tmp_path / "a.h5") as file:
        assert not file.has_uncertainty
        assert file[0].uncertainty is None


def test_uncertainty_of_another_shape_is_refused(tmp_path, imputed, write_file):
    with pytest.raises(ValueError, match="uncertainty: expected T M V"):
        imputed.replaced(uncertainty=imputed.uncertainty[:-1])
    path = write_file(tmp_path / "data.h5", [imputed], has_uncertainty=True)
    with h5py.File(path, "r+") as file:
        cut = file["uncertainty"][:-1]
        del file["uncertainty"]
        file["uncertainty"] = cut
    with pytest.raises(DataError, match="uncertainty that are not"):
        SequenceFile(path)


def test_joined_shards_have_uncertainty_if_one_has(tmp_path, imputed, make_sequence):
    folder = ShardFolder(tmp_path / "data.h5", count=2, plan={})
    folder.open(resume=False)
    clip = make_sequence(name="other")
    for index, (one, has) in enumerate([(clip, False), (imputed, True)]):
        schema = Schema(one.layout, ("walk",), persons=one.num_persons, has_uncertainty=has)
        write_sequences(folder.path(index), [one], schema, provenance=[])
    folder.join(classes=("walk",), provenance=[])
    with SequenceFile(tmp_path / "data.h5") as file:
        assert (file[0].uncertainty[:, 0] == 0).all()
        np.testing.assert_array_equal(file[1].uncertainty, imputed.uncertainty)
