import inspect
import pickle

import pytest

from skelaug import errors
from skelaug.errors import SkelaugError, did_you_mean

KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, SkelaugError) and kind is not SkelaugError
}
CONTRACT = {2: "usage", 3: "input", 4: "dependency", 5: "not found", 7: "check", 130: "interrupted"}


def test_every_error_has_an_exit_code_of_the_contract():
    assert {kind.exit_code for kind in KINDS.values()} == set(CONTRACT)
    assert SkelaugError.exit_code == 2


@pytest.mark.parametrize("name", KINDS)
def test_the_tree_in_the_module_says_the_same(name):
    line = next(line for line in errors.__doc__.splitlines() if f"── {name}" in line)
    assert line.split()[2] == str(KINDS[name].exit_code)


@pytest.mark.parametrize("name", KINDS)
def test_an_error_survives_the_way_between_processes(name):
    error = pickle.loads(pickle.dumps(KINDS[name]("a.h5: expected b, got c; do d")))
    assert (type(error), str(error)) == (KINDS[name], "a.h5: expected b, got c; do d")


@pytest.mark.parametrize(
    ("name", "choices", "says"),
    [
        ("step", ["steps", "width"], "did you mean 'steps'?"),
        ("KICK", ["Kick", "walk"], "did you mean 'Kick'?"),
        ("kinect20", ["kinect_20", "coco_17"], "did you mean 'kinect_20'?"),
        ("kik", ["knock", "kick forward"], "did you mean 'kick forward'?"),
        ("ab", ["abc", "abd"], "did you mean 'abc' or 'abd'?"),
        ("zzz", ["walk", "kick"], "known are kick, walk"),
        ("zzz", [f"a{n}" for n in range(100, 163)], "a159 and 3 more"),
    ],
)
def test_an_unknown_name_leads_to_the_near_ones_or_to_all(name, choices, says):
    assert did_you_mean(name, choices).endswith(says)
