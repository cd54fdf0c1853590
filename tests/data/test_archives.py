"""Folders, zips and tars give the same files in the same order, or say why not."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from skelaug.data import archives
from skelaug.data.archives import open_tree
from skelaug.data.reading import DamagedError
from skelaug.errors import DataError, NotFoundError

FILES = {"b/2.txt": b"two" * 50, "a/10.txt": b"ten", "a/1.txt": b"", "c.bin": bytes(range(256))}
JUNK = {"__MACOSX/._c.bin": b"x", ".hidden/d.txt": b"x", "a/._1.txt": b"x"}


def make_folder(path: Path) -> Path:
    for name, content in {**FILES, **JUNK}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def make_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("a")
        for name, content in {**FILES, **JUNK}.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path) -> Path:
    mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}
    with tarfile.open(path, mode[path.suffix]) as archive:  # type: ignore[call-overload]
        link = tarfile.TarInfo("a/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        archive.addfile(link)
        for name, content in {**FILES, **JUNK}.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=["folder", "a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    if path.name == "folder":
        return make_folder(path)
    return make_zip(path) if path.suffix == ".zip" else make_tar(path)


@pytest.mark.parametrize("kept", [0, 64 << 20])
def test_every_kind_gives_the_same_files_sorted(
    source: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_KEPT_BYTES", kept)
    tree = open_tree(source)
    assert list(tree.sizes().items()) == [(name, len(FILES[name])) for name in sorted(FILES)]
    assert tree.read(FILES) == FILES
    assert tree.read(["c.bin"]) == {"c.bin": FILES["c.bin"]}
    assert tree.read(["b/2.txt", "a/1.txt"]) == {n: FILES[n] for n in ("b/2.txt", "a/1.txt")}


def test_a_file_that_is_not_there_is_told_apart(source: Path) -> None:
    found = open_tree(source).read(["a/1.txt", "absent.txt"])
    assert found["a/1.txt"] == b""
    error = found["absent.txt"]
    assert isinstance(error, DamagedError)
    assert error.path == f"{source}/absent.txt"


def test_one_file_is_a_source_and_its_neighbours_can_be_read(tmp_path: Path) -> None:
    make_folder(tmp_path)
    tree = open_tree(tmp_path / "c.bin")
    assert tree.sizes() == {"c.bin": 256}
    assert tree.read(["c.bin", "a/10.txt"]) == {n: FILES[n] for n in ("c.bin", "a/10.txt")}


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file or folder"):
        open_tree(tmp_path / "absent.zip")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
@pytest.mark.parametrize("damage", ["empty", "junk", "cut"])
def test_a_broken_archive_is_refused_in_one_line(tmp_path: Path, name: str, damage: str) -> None:
    whole = make_zip(tmp_path / name) if name == "a.zip" else make_tar(tmp_path / name)
    data = whole.read_bytes()
    content = {"empty": b"", "junk": b"\x07junk" * 300, "cut": data[: len(data) // 3]}
    whole.write_bytes(content[damage])
    tree = open_tree(whole)
    with pytest.raises(DataError, match="download it again"):
        tree.sizes()


def test_a_zip_with_one_damaged_member_loses_that_one_alone(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("b/2.txt")
    data[info.header_offset + 30 + len("b/2.txt") + 2] ^= 0xFF
    path.write_bytes(data)
    found = open_tree(path).read(FILES)
    assert isinstance(found["b/2.txt"], DamagedError)
    assert found["a/10.txt"] == FILES["a/10.txt"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "1")
        archive.writestr("x.txt", "2")
    with pytest.raises(DataError, match=r"x\.txt twice"):
        open_tree(tmp_path / "a.zip").sizes()


def test_a_plain_tar_that_was_cut_between_two_files_is_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset])
    with pytest.raises(DataError, match="the end is missing"):
        open_tree(path).sizes()
