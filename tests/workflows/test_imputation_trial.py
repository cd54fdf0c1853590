import numpy as np
import pytest

from skelaug.data.store import SequenceFile
from skelaug.imputation.gaps import Gap, GapKind, gap_kinds
from skelaug.workflows.file_gaps import FileGaps
from skelaug.workflows.imputation_methods import Completer
from skelaug.workflows.imputation_report import ImputeConfig, MethodError
from skelaug.workflows.imputation_trial import FEWEST, choose, hidden_clips, try_methods
from skelaug.workflows.motion_prior import load_prior

SHORT = Gap(GapKind.SHORT, (5, 6), 4)
OPEN = Gap(GapKind.OPEN, (5, 6), 6)
UNSEEN = Gap(GapKind.UNSEEN, (7,), 0)


def config(path, **settings):
    return ImputeConfig(data=path, out=path.with_name("out.h5"), **settings)


def quiet(*_):
    pass


@pytest.fixture
def whole(tmp_path, labelled_clips, write_file):
    """A file without gaps."""
    return write_file(tmp_path / "data.h5", labelled_clips())


@pytest.mark.parametrize("gap", [SHORT, OPEN, UNSEEN], ids=lambda gap: gap.kind.name)
def test_what_is_hidden_was_measured_is_of_the_kind_and_is_not_in_the_clip(whole, gap):
    with SequenceFile(whole) as file:
        hidden = hidden_clips(file, gap.kind, [gap], config(whole, trial_clips=9))
        again = hidden_clips(file, gap.kind, [gap], config(whole, trial_clips=9))
        other = hidden_clips(file, gap.kind, [gap], config(whole, trial_clips=9, seed=1))
    assert len(hidden) == 9
    for one in hidden:
        assert np.isfinite(one.truth[one.mask]).all()
        assert not (one.track.observed & one.mask).any()
        assert (gap_kinds(one.track.observed)[one.mask] == gap.kind).all()
    masks = [one.mask.tolist() for one in hidden]
    assert masks == [one.mask.tolist() for one in again]
    assert masks != [one.mask.tolist() for one in other]


def test_a_file_of_few_clips_is_gone_through_again_and_one_without_room_gives_nothing(
    tmp_path, make_sequence, write_file
):
    path = write_file(tmp_path / "one.h5", [make_sequence(frames=30)])
    with SequenceFile(path) as file:
        hidden = hidden_clips(file, GapKind.SHORT, [SHORT], config(path, trial_clips=6))
    assert len(hidden) == 6
    assert len({one.mask.tobytes() for one in hidden}) > 1
    path = write_file(tmp_path / "two.h5", [make_sequence(frames=2)])
    with SequenceFile(path) as file:
        assert hidden_clips(file, GapKind.SHORT, [SHORT], config(path, trial_clips=6)) == []


def test_errors_are_root_mean_square_distances_computed_another_way(whole):
    settings = config(whole, trial_clips=10)
    found = FileGaps({GapKind.SHORT: 8}, {GapKind.SHORT: (SHORT,)}, 1, ())
    completer = Completer(None, settings)
    with SequenceFile(whole) as file:
        (choice,) = try_methods(file, found, completer, settings, advance=quiet)
        hidden = hidden_clips(file, GapKind.SHORT, [SHORT], settings)
    assert {one.method for one in choice.errors} == {"hold", "linear", "cubic"}
    for error in choice.errors:
        distances = []
        for one in hidden:
            (filled,) = completer.fill(error.method, [one.track])
            distances += np.linalg.norm(filled - one.truth, axis=-1)[one.mask].tolist()
        assert error.rmse_mm == pytest.approx(1e3 * np.sqrt(np.mean(np.square(distances))), 1e-5)
        assert error.low_mm <= error.rmse_mm <= error.high_mm
    assert choice.joints == len(distances)
    assert choice.method == choice.errors[0].method == "cubic"  # the clips are sines
    assert choice.rmse == pytest.approx(1e-3 * choice.errors[0].rmse_mm)
    assert choice.scale is None


def test_what_a_method_cannot_fill_does_not_count(whole):
    """Without a model nothing is known of joints that a clip never shows."""
    settings = config(whole, trial_clips=9)
    found = FileGaps({GapKind.UNSEEN: 30}, {GapKind.UNSEEN: (UNSEEN,)}, 1, ())
    with SequenceFile(whole) as file:
        (choice,) = try_methods(file, found, Completer(None, settings), settings, advance=quiet)
    assert (choice.errors, choice.method, choice.rmse) == ([], None, None)
    assert choice.reason == "without a model nothing says where they are"


METHODS = ("hold", "linear", "reconstruction", "hgvae")


def errors(**rmse):
    return [
        MethodError(method=m, rmse_mm=e, low_mm=0.9 * e, high_mm=1.1 * e) for m, e in rmse.items()
    ]


def test_the_least_error_wins_and_of_equal_ones_the_simplest():
    found = choose(GapKind.LONG, errors(hold=30, linear=20, hgvae=10), FEWEST, METHODS)
    assert (found.method, found.reason) == ("hgvae", "least error")
    assert [one.method for one in found.errors] == ["hgvae", "linear", "hold"]
    found = choose(GapKind.LONG, errors(hgvae=10, linear=10, hold=30), FEWEST, METHODS)
    assert (found.method, found.reason) == ("linear", "least error, within the intervals of hgvae")


def test_too_few_clips_decide_nothing():
    told = errors(hold=1, linear=20, hgvae=10)
    for kind, method in [(GapKind.SHORT, "linear"), (GapKind.LONG, "reconstruction")]:
        found = choose(kind, told, FEWEST - 1, METHODS)
        assert found.method == method
        assert found.reason == "only 7 gaps to measure on, 8 are needed"
        assert choose(kind, [], 0, METHODS).reason == "not measured"
        assert choose(kind, [], 0, METHODS[:2]).method == "linear"


def test_the_reason_says_what_decided_where_no_method_filled_all():
    found = choose(GapKind.LONG, [], FEWEST, METHODS)
    assert (found.method, found.reason) == (
        "reconstruction",
        "no method filled all gaps of the trial",
    )
    found = choose(GapKind.UNSEEN, [], 0, (), wanted="cubic")
    assert (found.method, found.reason) == (None, "without a model nothing says where they are")


def test_joints_that_are_never_seen_are_tried_with_one_method_along_time(whole, make_prior):
    settings = config(whole, trial_clips=9, steps=1, samples=2, method="cubic")
    found = FileGaps({GapKind.UNSEEN: 30}, {GapKind.UNSEEN: (UNSEEN,)}, 1, ())
    completer = Completer(load_prior(make_prior()), settings)
    with SequenceFile(whole) as file:
        (choice,) = try_methods(file, found, completer, settings, advance=quiet)
    tried = {one.method for one in choice.errors}
    assert tried == {"linear", "mean", "reconstruction", "ascent", "hgvae"}
    assert choice.method == "linear"
    assert choice.reason == "the same as cubic, which was asked for"
    assert choice.rmse is not None


def test_what_was_asked_for_is_taken_whatever_its_error():
    found = choose(GapKind.LONG, errors(hold=30, linear=20), 20, METHODS, wanted="hold")
    assert (found.method, found.reason) == ("hold", "asked for")
