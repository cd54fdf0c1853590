"""Our descriptions as a whole: complete, distinct, of the right length, about bodies in motion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from skelaug.data import hdm05, ntu, nw_ucla, utd_mhad
from skelaug.data.class_splits import PKU_CLASSES
from skelaug.errors import DataError, NotFoundError
from skelaug.text.descriptions import (
    ClassTexts,
    describe_classes,
    described,
    load_descriptions,
)
from skelaug.text.encoder import TextEncoder, open_encoder

CLASSES = {
    "utd_mhad": utd_mhad.CLASSES,
    "nw_ucla": nw_ucla.CLASSES,
    "hdm05": hdm05.CLASSES,
    "ntu_120": ntu.CLASSES,
    "pku_mmd": PKU_CLASSES,
}
BODY = re.compile(
    r"\b(arm|forearm|hand|finger|thumb|fist|palm|wrist|elbow|shoulder|chest|trunk|torso|back|waist|hip"
    r"|pelvis|leg|thigh|knee|shin|heel|foot|feet|ankle|head|neck|chin|face|mouth|body|bodie|spine|toe)s?\b",
    re.IGNORECASE,
)


def every(name: str) -> list[ClassTexts]:
    return list(load_descriptions(name).values())


def sentences() -> list[str]:
    return [text for name in described() for one in every(name) for text in one.rich]


def test_the_data_sets_are_those_that_can_be_named() -> None:
    assert set(described()) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_described_under_the_name_that_readers_give_it(name: str) -> None:
    assert tuple(load_descriptions(name)) == tuple(CLASSES[name])
    assert [one.name for one in every(name)] == list(CLASSES[name])
    assert load_descriptions(name.replace("_", "-").upper()) == load_descriptions(name)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_one_phrase_three_sentences_and_an_intensity(name: str) -> None:
    for one in every(name):
        assert 1 <= len(one.sparse.split()) <= 14, one.sparse
        assert not one.sparse.endswith("."), one.sparse
        assert len(one.rich) >= 3, one.name
        for text in one.rich:
            assert 8 <= len(text.split()) <= 40, text
            assert text[0].isupper(), text
            assert text.endswith("."), text
            assert text.isascii(), text


@pytest.mark.parametrize("name", CLASSES)
def test_both_intensities_occur_and_neither_is_rare(name: str) -> None:
    share = sum(one.intensity for one in every(name)) / len(every(name))
    assert 0.25 <= share <= 0.75, share


def test_no_two_sentences_are_equal_and_no_two_phrases_of_a_data_set() -> None:
    plain = [re.sub(r"\W+", " ", text).lower() for text in sentences()]
    assert len(set(plain)) == len(plain)
    for name in described():
        phrases = [one.sparse for one in every(name)]
        assert len(set(phrases)) == len(phrases), name


def test_every_sentence_is_about_parts_of_the_body() -> None:
    assert [text for text in sentences() if not BODY.search(text)] == []


def test_no_sentence_is_cut_by_the_tokens_of_the_network(minilm: TextEncoder) -> None:
    texts = [*sentences(), *(one.sparse for name in described() for one in every(name))]
    longest = sorted(texts, key=len)[-40:]
    assert len(texts) == 4 * sum(map(len, CLASSES.values()))
    assert open_encoder("minilm", tokens=64).encode(longest).mask.sum(axis=1).max() <= minilm.tokens


def own_file(folder: Path, content: object) -> Path:
    path = folder / "own.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


ZUMBA = {"sparse": "dance zumba", "intensity": 1, "rich": ["The hips\n  sway."]}


def test_classes_are_found_by_name_in_any_case_and_in_the_order_asked_for(tmp_path: Path) -> None:
    texts = describe_classes(["Squat", "wave"], "utd-mhad")
    assert [one.name for one in texts] == ["squat", "wave"]
    own = own_file(tmp_path, {"zumba": ZUMBA, "squat": {**ZUMBA, "sparse": "mine"}})
    mixed = describe_classes(["zumba", "squat", "wave"], [own, "utd-mhad"])
    assert [one.sparse for one in mixed] == [
        "dance zumba",
        "mine",
        load_descriptions("utd-mhad")["wave"].sparse,
    ]
    assert mixed[0].rich == ("The hips sway.",)


@pytest.mark.parametrize("name", CLASSES)
def test_without_a_source_the_data_set_of_most_classes_speaks(name: str) -> None:
    assert list(describe_classes(CLASSES[name])) == every(name)


def test_a_missing_class_is_answered_with_yaml_to_fill_in(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="utd-mhad: expected texts of all classes") as caught:
        describe_classes(["squat", "zumba", 'say: "no"'], "utd-mhad")
    stub = str(caught.value).split(":\n", 1)[1]
    filled = stub.replace("sparse: ", "sparse: x").replace("intensity: ", "intensity: 1")
    filled = filled.replace("- ", "- y")
    names = list(load_descriptions(own_file(tmp_path, filled)))
    assert names == ["zumba", 'say: "no"']


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'utd_mhad'"):
        load_descriptions("utd_mhat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "expected YAML"),
        ("- a", "expected classes with their texts"),
        ("", "expected classes with their texts"),
        ({"a": 3}, "'a': expected intensity, rich, sparse, got 3"),
        ({"a": {**ZUMBA, "spars": "b"}}, "unknown key 'spars'"),
        ({"a": {**ZUMBA, "sparse": " "}}, "expected sparse to be text"),
        ({"a": {**ZUMBA, "rich": "one"}}, "expected rich to be a list of texts"),
        ({"a": {**ZUMBA, "rich": []}}, "expected rich to be a list of texts"),
        ({"a": {**ZUMBA, "intensity": 2}}, "expected intensity 0 or 1, got 2"),
        ({"a": {**ZUMBA, "intensity": True}}, "expected intensity 0 or 1, got True"),
        ({7: ZUMBA}, "7: expected text as a class name"),
        ("a: 1\na: 2", "the key 'a' twice"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        load_descriptions(own_file(tmp_path, content))


def test_all_faults_of_a_file_are_named_together(tmp_path: Path) -> None:
    path = own_file(tmp_path, {"a": {**ZUMBA, "intensity": 2}, "b": {**ZUMBA, "rich": [1]}})
    with pytest.raises(DataError, match=r"'a': expected intensity.*; 'b': expected rich"):
        load_descriptions(path)
