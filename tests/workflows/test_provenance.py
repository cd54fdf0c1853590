"""What made a file: the same record for equal runs, wherever they ran."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel

from skelaug import __version__
from skelaug.workflows.provenance import (
    file_hashes,
    provenance_record,
    run_record_path,
    write_run_record,
)


class Config(BaseModel, frozen=True):
    out: Path
    data: Path
    more: tuple[Path, ...] = ()
    rate: float = 0.5
    workers: int = 1


def test_equal_runs_in_other_places_have_equal_records(tmp_path: Path) -> None:
    records = []
    for place in ("a", "b"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "d.bin").write_bytes(b"data")
        config = Config(
            out=folder / "o", data=folder / "d.bin", more=(folder / "x",), workers=len(records) + 1
        )
        records.append(provenance_record("make", config, [folder / "d.bin"]))
    assert records[0] == records[1]
    assert records[0] == {
        "command": "make",
        "config": {"data": "d.bin", "more": ["x"], "rate": 0.5},
        "version": __version__,
        "inputs": {"d.bin": hashlib.sha256(b"data").hexdigest()},
    }
    json.dumps(records[0])


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "d").write_text(folder)
        paths.append(tmp_path / folder / "d")
    assert sorted(file_hashes(paths)) == ["d", "d (2)"]


def test_the_clock_is_beside_the_file(tmp_path: Path) -> None:
    config = Config(out=tmp_path / "o.h5", data=tmp_path / "d")
    write_run_record(config.out, config, command="make", seconds=1.5, details={"clips": 3})
    assert run_record_path(config.out) == tmp_path / "o.h5.run.json"
    record = json.loads((tmp_path / "o.h5.run.json").read_text(encoding="utf-8"))
    assert record["config"]["data"] == str(tmp_path / "d")
    assert (record["clips"], record["seconds"], record["command"]) == (3, 1.5, "make")
    assert {"python", "numpy", "h5py"} <= set(record["versions"])
    assert record["finished"].endswith("+00:00")
