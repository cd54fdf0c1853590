from __future__ import annotations

import pytest
import yaml
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from skelaug.config import dump, load, write_resolved
from skelaug.errors import NotFoundError, UsageError


class Inner(BaseModel, frozen=True, extra="forbid"):
    lr: PositiveFloat = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    arguments: dict[str, object] = {}


class Outer(BaseModel, frozen=True, extra="forbid"):
    steps: PositiveInt = 10
    name: str = "default"
    split: str = ""
    inner: Inner = Inner()
    share: float = Field(default=0.5, ge=0, le=1)


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_each_source_overrides_the_one_before_it(file):
    sources = {
        "preset": {"steps": 1, "name": "preset", "split": "preset", "share": 0.1},
        "file": file("name: file\nsplit: file\nshare: 0.2"),
        "overrides": ["split=set", "share=0.3"],
        "flags": {"share": 0.4, "steps": None},
    }
    got = load(Outer, **sources)
    assert (got.steps, got.name, got.split, got.share) == (1, "file", "set", 0.4)


def test_nested_values_merge_key_by_key(file):
    got = load(
        Outer,
        preset={"inner": {"lr": 1.0, "betas": [0.5, 0.6]}},
        file=file("inner: {lr: 2.0}"),
        overrides=["inner.arguments.width=64", "inner.arguments.depth=2"],
    )
    assert got.inner.lr == 2.0
    assert got.inner.betas == (0.5, 0.6)
    assert got.inner.arguments == {"width": 64, "depth": 2}


def test_an_empty_mapping_clears_what_was_there(file):
    preset = {"inner": {"lr": 1.0, "arguments": {"width": 1}}}
    got = load(Outer, preset=preset, overrides=["inner.arguments={}", "inner.arguments.depth=2"])
    assert got.inner.arguments == {"depth": 2}
    assert got.inner.lr == 1.0
    assert load(Outer, preset=preset, file=file("inner: {arguments: {}}")).inner.arguments == {}


def test_a_preset_is_not_changed_by_what_comes_after_it():
    preset = {"inner": {"arguments": {"width": 1}}}
    load(Outer, preset=preset, overrides=["inner.arguments.width=2"])
    assert preset == {"inner": {"arguments": {"width": 1}}}


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001"])
def test_a_number_that_yaml_reads_as_text_is_a_number(file, text):
    assert load(Outer, file=file(f"inner: {{lr: {text}}}")).inner.lr == 1e-4
    assert load(Outer, overrides=[f"inner.lr={text}"]).inner.lr == 1e-4


def test_a_typo_names_the_key_that_was_meant(file):
    with pytest.raises(UsageError, match=r"run\.yaml: unknown key 'step'; did you mean 'steps'\?"):
        load(Outer, file=file("step: 3"))
    with pytest.raises(UsageError, match=r"unknown key 'inner\.beta'; did you mean 'betas'\?"):
        load(Outer, overrides=["inner.beta=3"])


def test_all_faults_come_in_one_line(file):
    with pytest.raises(UsageError) as caught:
        load(Outer, file=file("steps: 0\nshare: 2\ncolour: red"))
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(";") >= 2
    assert "steps: Input should be greater than 0, got 0" in message
    assert "share: Input should be less than or equal to 1, got 2" in message
    assert "unknown key 'colour'; known are inner, name, share, split, steps" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "--set steps: expected a.b=value"),
        ("=3", "--set =3: expected a.b=value"),
        ("steps=[1", "the value is not YAML"),
        ("inner=3", "inner: Input should be"),
        ("steps.x=3", "steps: Input should be"),
    ],
)
def test_a_wrong_override_says_what_is_expected(override, message):
    with pytest.raises(UsageError) as caught:
        load(Outer, overrides=[override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n- 2", "just words", "a: [", "a: b: c"])
def test_a_file_that_holds_no_keys_is_refused_in_one_line(file, text):
    with pytest.raises(UsageError, match=r"run\.yaml: expected") as caught:
        load(Outer, file=file(text))
    assert "\n" not in str(caught.value)


def test_an_empty_file_changes_nothing_and_a_missing_one_is_not_found(file, tmp_path):
    assert load(Outer, file=file("")) == Outer()
    with pytest.raises(NotFoundError, match="check --config"):
        load(Outer, file=tmp_path / "none.yaml")


def test_binary_junk_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="expected YAML"):
        load(Outer, file=path)


def test_the_resolved_configuration_resolves_to_itself(tmp_path):
    config = load(Outer, overrides=["inner.lr=1e-5", "inner.arguments.w=[1, 2]"])
    config = config.model_copy(update={"name": "a: [b] # ü"})
    write_resolved(tmp_path / "config.yaml", config)
    assert load(Outer, file=tmp_path / "config.yaml") == config
    assert list(yaml.safe_load(dump(config))) == list(Outer.model_fields)
