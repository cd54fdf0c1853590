"""``skelaug doctor``: the environment, for a bug report."""

from __future__ import annotations

from skelaug.cli import render
from skelaug.cli.options import AsJson

__all__ = ["EXAMPLES", "doctor"]

EXAMPLES = ["skelaug doctor", "skelaug doctor --json"]


def doctor(as_json: AsJson = False) -> None:
    """Describe the environment for a bug report.

    JSON: skelaug, installed_at, python, platform, cores, threads, memory_gb, memory_free_gb,
    disk_free_gb, devices, packages, models, problems.
    """
    from skelaug.workflows import doctor as workflow

    render.report("doctor", workflow.run(), as_json=as_json)
