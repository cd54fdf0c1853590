"""``skelaug bench``: where its settings come from."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from skelaug.cli.app import run


def test_a_file_of_settings_may_name_data_and_folder(data_file, tmp_path: Path, capsys) -> None:
    settings = {"data": str(data_file), "out": str(tmp_path / "there"), "split": "subject=1,2"}
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    arguments = ["bench", "incremental", "--config", str(path), "--dry-run", "--json"]
    assert run(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["out"] == str(tmp_path / "there")
    assert run([*arguments, "--out", str(tmp_path / "here")]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["out"] == str(tmp_path / "here")
    assert not (tmp_path / "there").exists()
    assert run(["bench", "incremental", "--out", str(tmp_path / "none")]) == 2
    assert "expected DATA.h5 or a benchmark to go on with" in capsys.readouterr().err
