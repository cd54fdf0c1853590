"""The environment, for a bug report: versions, cores, memory, devices, disk, models."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

from pydantic import BaseModel

from skelaug import __version__
from skelaug.zoo import packaged

__all__ = ["DoctorReport", "run"]


class DoctorReport(BaseModel, frozen=True):
    """What a maintainer asks for first.

    Attributes:
        skelaug: Version of this program.
        installed_at: Where it is installed.
        python: Version of Python.
        platform: Operating system and processor.
        cores: Processor cores that this process may use.
        threads: Threads that torch uses, or null without torch.
        memory_gb: Main memory; null where the system does not say.
        memory_free_gb: Memory that is free; null where the system does not say.
        disk_free_gb: Free space of the current folder's disk.
        devices: What torch can compute on.
        packages: Version by required package; empty where it is missing.
        models: Packaged models.
        problems: What is wrong, in one line each.
    """

    skelaug: str
    installed_at: str
    python: str
    platform: str
    cores: int
    threads: int | None
    memory_gb: float | None
    memory_free_gb: float | None
    disk_free_gb: float
    devices: list[str]
    packages: dict[str, str]
    models: list[str]
    problems: list[str]


def run() -> DoctorReport:
    """Look at the environment; nothing that is wrong with it is an error here."""
    packages = {name: _version(name) for name in _requirements()}
    devices, threads = _torch()
    models = list(packaged())
    problems = [f"package {name} is missing" for name, found in packages.items() if not found]
    if not models:
        problems.append("no packaged model was found; synth needs --model RUN")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < 1:
        problems.append(f"only {free:.2f} GB are free on the disk of the current folder")
    return DoctorReport(
        skelaug=__version__,
        installed_at=str(Path(__file__).parents[1]),
        python=sys.version.split()[0],
        platform=platform.platform(),
        cores=_cores(),
        threads=threads,
        memory_gb=_memory("SC_PHYS_PAGES"),
        memory_free_gb=_memory("SC_AVPHYS_PAGES"),
        disk_free_gb=round(free, 1),
        devices=devices,
        packages=packages,
        models=models,
        problems=problems,
    )


def _requirements() -> list[str]:
    """The names of the packages that every installation needs."""
    stated = importlib.metadata.requires("skelaug") or []
    needed = [text for text in stated if "extra ==" not in text]
    return [text.split(";")[0].split(">")[0].split("=")[0].strip() for text in needed]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(pages: str) -> float | None:
    try:
        return round(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _torch() -> tuple[list[str], int | None]:
    try:
        import torch
    except ImportError:
        return [], None
    devices = ["cpu"]
    for index in range(torch.cuda.device_count()):
        name, memory = torch.cuda.get_device_name(index), torch.cuda.mem_get_info(index)[1]
        devices.append(f"cuda:{index} {name}, {memory / 1e9:.0f} GB")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices, torch.get_num_threads()
