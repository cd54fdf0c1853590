from __future__ import annotations

import json
import math
import re

import pytest
from pydantic import ValidationError

from skelaug.augment.configuration import PRESETS, AugmentationConfig

FIELDS = list(AugmentationConfig.model_fields)
STRENGTHS = [field for field in FIELDS if field != "time_warp_knots"]


def test_everything_is_off_by_default():
    config = AugmentationConfig()
    assert {getattr(config, field) for field in STRENGTHS} == {0}
    assert PRESETS["none"] == config


@pytest.mark.parametrize("field", STRENGTHS)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_strength_is_finite_and_not_negative(field, value):
    with pytest.raises(ValidationError):
        AugmentationConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("bones", 1), ("crop", 1), ("mirror", 1.1), ("shear", 0.6), ("rotation_y", 20), ("rotate", 1)],
)
def test_what_would_destroy_a_clip_is_refused_and_so_is_an_unknown_name(field, value):
    with pytest.raises(ValidationError):
        AugmentationConfig(**{field: value})


def test_a_configuration_is_frozen():
    with pytest.raises(ValidationError):
        AugmentationConfig().bones = 0.1


def test_every_field_is_explained_in_the_order_of_the_fields():
    explained = re.findall(r"^        (\w+): ", AugmentationConfig.__doc__ or "", re.MULTILINE)
    assert explained == FIELDS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_handed_classes_apart_and_survives_json(name):
    preset = PRESETS[name]
    assert preset.mirror == 0
    values = json.loads(json.dumps(preset.model_dump(mode="json")))
    assert AugmentationConfig.model_validate(values) == preset


def test_the_published_presets_have_the_published_numbers():
    ctr = PRESETS["ctr"].model_dump(exclude_defaults=True)
    assert ctr == {"rotation_x": 0.3, "rotation_y": 0.3, "rotation_z": 0.3}
    ucla = PRESETS["ucla"].model_dump(exclude_defaults=True)
    assert ucla == {"view_degrees": 60, "view_scale": 0.5}
