"""What made a file: a record without a clock inside it, and one with a clock beside it.

The record inside depends on command, configuration, version and inputs alone, so that two equal
runs write equal bytes. ``OUT.run.json`` beside it adds the time and the versions of the packages.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from skelaug import __version__
from skelaug.files import sha256, write_text

__all__ = ["file_hashes", "provenance_record", "run_record_path", "unused", "write_run_record"]

_PACKAGES = ("numpy", "scipy", "h5py", "torch", "pydantic")
_PLACES = frozenset({"out", "picture", "workers"})  # these never change the content


def file_hashes(inputs: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file by its name without folders; equal names get a number."""
    hashes: dict[str, str] = {}
    for path in inputs:
        hashes[unused(path.name, hashes)] = sha256(path)
    return hashes


def unused(name: str, taken: Mapping[str, object]) -> str:
    """The name, or the first of ``name (2)``, ``name (3)`` ... that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def provenance_record(
    command: str, config: BaseModel, inputs: Sequence[Path] | Mapping[str, str] = ()
) -> dict[str, Any]:
    """The record of a command that goes into its output.

    Args:
        command: Its name.
        config: Its resolved configuration; paths are reduced to their names, and where outputs go
            is left out.
        inputs: Files that it read, or their hashes by name.
    """
    hashes = dict(inputs) if isinstance(inputs, Mapping) else file_hashes(inputs)
    values = {key: value for key, value in config.model_dump().items() if key not in _PLACES}
    return {
        "command": command,
        "config": _plain(values),
        "version": __version__,
        "inputs": hashes,
    }


def _plain(value: Any) -> Any:
    """The value as JSON knows it, with paths reduced to their names."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str):  # enumerations of texts as well
        return str(value)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value


def run_record_path(out: Path) -> Path:
    """Where the record of a run lies: ``OUT.run.json``."""
    return out.with_name(f"{out.name}.run.json")


def write_run_record(
    out: Path,
    config: BaseModel,
    *,
    command: str = "",
    seconds: float | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a run beside its output, whole or not at all.

    Args:
        out: The output.
        config: The resolved configuration, with all paths.
        command: The command's name.
        seconds: How long it took.
        details: More plain JSON values, e.g. the report.
    """
    record = {
        "schema": 1,
        "command": command,
        "output": out.name,
        "config": config.model_dump(mode="json"),
        "version": __version__,
        "versions": {"python": platform.python_version(), **_versions()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        **(details or {}),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(run_record_path(out), text + "\n")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
