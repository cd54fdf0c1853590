"""YAML and dotted overrides become one frozen pydantic model; every fault is reported together.

Precedence: defaults < preset < ``--config`` < ``--set`` < named flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from skelaug.errors import NotFoundError, UsageError, did_you_mean
from skelaug.files import write_text

__all__ = ["dump", "load", "merge", "write_resolved"]

Model = TypeVar("Model", bound=BaseModel)


def load(
    model: type[Model],
    *,
    preset: Mapping[str, Any] | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Model:
    """The configuration that the four sources resolve to.

    Args:
        model: The configuration's class; the only home of defaults.
        preset: Values of a named preset.
        file: A YAML file (``--config``).
        overrides: ``a.b=value`` strings (``--set``); values are read as YAML.
        flags: Named flags; None means that a flag was not given.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: A key is unknown or a value out of range; all faults in one message.
    """
    values: dict[str, Any] = {}
    merge(values, preset or {})
    where = "configuration"
    if file is not None:
        where = str(file)
        merge(values, _read(file))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {override}: expected a.b=value; for example model.depth=6")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {override}: the value is not YAML: {_line(error)}") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        merge(values, value)
    merge(values, {key: value for key, value in (flags or {}).items() if value is not None})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where}: {_explain(model, error)}") from error


def dump(config: BaseModel) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def write_resolved(path: Path, config: BaseModel) -> None:
    """Write the resolved configuration as YAML, whole or not at all."""
    write_text(path, dump(config))


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise NotFoundError(f"{file}: no such file; check --config")
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: expected YAML, got {_line(error)}") from error
    if not isinstance(data, Mapping):
        raise UsageError(f"{file}: expected keys and values, got {type(data).__name__}")
    return data


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Put values over others key by key, in place; an empty mapping clears what was there."""
    for key, value in other.items():
        if isinstance(value, Mapping) and value and isinstance(into.get(key), dict):
            merge(into[key], value)
        elif isinstance(value, Mapping):
            into[key] = {}
            merge(into[key], value)
        else:
            into[key] = value


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            known = _keys_at(model, fault["loc"][:-1])
            faults.append(f"unknown key {key!r}; {did_you_mean(str(fault['loc'][-1]), known)}")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(f"{key}: {message}, got {fault['input']!r}")
    return "; ".join(faults)


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
