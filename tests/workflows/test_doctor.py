"""The environment as it is, and what is wrong with it."""

import os
from types import SimpleNamespace

import torch

from skelaug import __version__
from skelaug.workflows import doctor


def test_the_report_agrees_with_the_machine():
    report = doctor.run()
    assert report.skelaug == __version__
    assert report.cores <= (os.cpu_count() or 1)
    assert report.threads == torch.get_num_threads()
    assert "cpu" in report.devices
    assert report.packages["torch"] == torch.__version__
    assert all(report.packages.values())
    assert report.memory_gb is None or report.memory_gb >= (report.memory_free_gb or 0)
    assert not any("package" in problem and "missing" in problem for problem in report.problems)


def test_what_is_missing_or_short_is_a_problem_in_one_line(monkeypatch):
    monkeypatch.setattr(doctor, "_requirements", lambda: ["numpy", "no-such-package"])
    monkeypatch.setattr(doctor, "packaged", dict)
    full = SimpleNamespace(total=10**9, used=9 * 10**8, free=10**8)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: full)
    problems = doctor.run().problems
    assert len(problems) == 3
    assert any("no-such-package" in problem for problem in problems)
    assert any("0.10 GB" in problem for problem in problems)
