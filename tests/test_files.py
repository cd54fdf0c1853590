import errno
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap

import h5py
import pytest

from skelaug.errors import NotFoundError, StorageError, UsageError
from skelaug.files import (
    replacing,
    replacing_hdf5,
    require_file,
    require_new,
    sha256,
    storage_errors,
    write_text,
)

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def in_child(job):
    """Run the job in a process of its own and return how that ended."""
    child = os.fork()
    if child == 0:
        try:
            job()
        finally:
            os._exit(77)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "out.txt"
    with replacing(path) as part:
        part.write_text("whole")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text() == "whole"
    assert names(path.parent) == ["out.txt"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as part:
            part.write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def kill_inside(path):
    with replacing(path) as part:
        part.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@FORKS
def test_a_kill_in_the_block_leaves_the_old_file_and_the_next_writer_cleans_up(tmp_path):
    path, other = tmp_path / "out.txt", tmp_path / "other.txt"
    path.write_text("old")
    assert in_child(lambda: kill_inside(path)) == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    write_text(other, "x")
    assert len(names(tmp_path)) == 3
    write_text(path, "new")
    assert names(tmp_path) == ["other.txt", "out.txt"]
    assert path.read_text() == "new"


def test_two_writers_of_one_path_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "out.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["out.txt"]


@FORKS
def test_a_writer_in_another_process_is_left_alone(tmp_path):
    path = tmp_path / "out.txt"
    with replacing(path) as part:
        part.write_text("mine")
        assert in_child(lambda: (write_text(path, "theirs"), os._exit(0))) == 0
        assert path.read_text() == "theirs"
    assert path.read_text() == "mine"


def test_parts_of_other_hosts_and_other_files_are_left_alone(tmp_path):
    here = socket.gethostname()
    others = [".out.txt.elsewhere-1-abc.part", f".out.txt.{here}-x.part", ".out.txt2.part"]
    for name in others:
        (tmp_path / name).touch()
    write_text(tmp_path / "out.txt", "x")
    assert names(tmp_path) == sorted([*others, "out.txt"])


def test_names_with_brackets_are_no_patterns(tmp_path):
    path = tmp_path / "[ab]*.txt"
    dead = tmp_path / f".{path.name}.{socket.gethostname()}-99999999-x.part"
    dead.touch()
    bystander = tmp_path / f".a.txt.{socket.gethostname()}-99999999-x.part"
    bystander.touch()
    write_text(path, "x")
    assert names(tmp_path) == sorted([path.name, bystander.name])


def test_new_files_have_the_rights_of_other_new_files(tmp_path):
    write_text(tmp_path / "ours.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    rights = [stat.S_IMODE((tmp_path / f"{n}.txt").stat().st_mode) for n in ("ours", "plain")]
    assert rights[0] == rights[1]


def test_text_is_utf_8(tmp_path):
    write_text(tmp_path / "out.txt", "手 ∂\n")
    assert (tmp_path / "out.txt").read_bytes() == "手 ∂\n".encode()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, number):
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fill():
        with replacing(path) as part:
            part.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError, match=r"out\.txt: the disk is full; free some space"):
        fill()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_what_hdf5_says_about_a_full_disk_is_understood(tmp_path):
    text = "Can't write data (file write failed: errno = 28, error message = 'No space left')"
    with pytest.raises(StorageError, match="the disk is full"), storage_errors(tmp_path / "x.h5"):
        raise OSError(text)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("where", ["", "out.txt", ".out.txt.part", ".", ".."])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, number, where):
    path = tmp_path / "folder" / "out.txt"
    named = str(path.parent / where) if where else None

    def forbid():
        with storage_errors(path):
            raise OSError(number, os.strerror(number), named)

    with pytest.raises(StorageError, match=r"out\.txt: the folder cannot be written"):
        forbid()


def test_a_forbidden_input_is_not_blamed_on_the_output(tmp_path):
    source = tmp_path / "elsewhere" / "in.txt"

    def read():
        with storage_errors(tmp_path / "out.txt"):
            raise PermissionError(errno.EACCES, "Permission denied", str(source))

    with pytest.raises(PermissionError, match=r"in\.txt"):
        read()


def test_relative_paths_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = require_new(tmp_path.__class__("out.txt"))

    def forbid():
        with storage_errors(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".part"))

    with pytest.raises(StorageError):
        forbid()
    write_text(path, "x")
    assert names(tmp_path) == ["out.txt"]


def test_other_errors_pass_unchanged(tmp_path):
    def fail():
        with storage_errors(tmp_path / "out.txt"):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as caught:
        fail()
    assert not isinstance(caught.value, StorageError)


def test_a_path_that_can_be_no_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (
        tmp_path / "file" / "out.txt",
        tmp_path / "file" / "sub" / "out.txt",
        tmp_path / "folder",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(StorageError, match="no file can be written there") as caught:
            write_text(path, "x")
        assert str(caught.value).startswith(f"{path}: ")
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_storage_error(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    for path in (folder / "out.txt", folder / "new" / "out.txt"):
        with pytest.raises(StorageError, match="the folder cannot be written"):
            write_text(path, "x")


@pytest.mark.parametrize("size", [0, 1, 2**20 + 7])
def test_sha256_is_that_of_the_content(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_required_file_or_folder_must_be_there(tmp_path):
    assert require_file(tmp_path) == tmp_path
    with pytest.raises(NotFoundError, match="gone: no such file or folder; check the path"):
        require_file(tmp_path / "gone")


def test_an_output_is_not_replaced_without_force(tmp_path):
    path = tmp_path / "out.h5"
    assert require_new(path) == path
    path.touch()
    with pytest.raises(UsageError, match="already exists; choose another name or add --force"):
        require_new(path)
    assert require_new(path, force=True) == path


def test_an_input_is_never_replaced(tmp_path):
    data = tmp_path / "data.h5"
    data.touch()
    (tmp_path / "link.h5").symlink_to(data)
    for path in (data, tmp_path / "link.h5", tmp_path / "." / "data.h5"):
        with pytest.raises(UsageError, match="is an input of this command"):
            require_new(path, force=True, inputs=[tmp_path / "gone", data])
    assert require_new(tmp_path / "new.h5", inputs=[data]) == tmp_path / "new.h5"


def test_an_hdf5_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "out.h5"
    with replacing_hdf5(path) as file:
        file["x"] = [1, 2, 3]
        assert not path.exists()
    with h5py.File(path) as file:
        assert file["x"][:].tolist() == [1, 2, 3]

    def fail():
        with replacing_hdf5(path) as file:
            file["x"] = [4]
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    with h5py.File(path) as file:
        assert file["x"][:].tolist() == [1, 2, 3]
    assert names(tmp_path) == ["out.h5"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to make a small disk")
@pytest.mark.parametrize("rows", [3000, 300_000])
def test_hdf5_on_a_disk_that_is_really_full_is_one_line(tmp_path, rows):
    """A file system of 4 MiB; the file would be a little or much larger than what is left."""
    code = textwrap.dedent(f"""
        import os, sys
        from pathlib import Path
        import numpy as np
        from skelaug.errors import StorageError
        from skelaug.files import replacing_hdf5
        folder = Path(sys.argv[1])
        (folder / "old.h5").write_bytes(b"old")
        rest = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        (folder / "other").write_bytes(os.urandom(rest - 2**21 - 400_000))
        try:
            with replacing_hdf5(folder / "old.h5") as file:
                data = file.create_dataset("x", (0, 64), "f8", maxshape=(None, 64), chunks=(64, 64))
                for start in range(0, {rows}, 64):
                    data.resize(start + 64, axis=0)
                    data[start:] = np.random.default_rng(start).random((64, 64))
                    file.flush()
        except StorageError as error:
            print(error)
        print(sorted(os.listdir(folder)), (folder / "old.h5").read_bytes())
        """)
    mount = f"mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec {sys.executable} - {tmp_path}"
    small = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    if subprocess.run([*small[:-1], mount.split(" &&")[0]], capture_output=True).returncode:
        pytest.skip("this system does not let a user mount a small disk")
    done = subprocess.run(small, input=code, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    message, rest = done.stdout.splitlines()
    assert message.endswith(
        "old.h5: the disk is full; free some space and run the same command again"
    )
    assert rest == "['old.h5', 'other'] b'old'"
