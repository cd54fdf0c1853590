"""A killed conversion that is resumed, or shared between processes, gives the same bytes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from skelaug.data.shards import ShardFolder
from skelaug.errors import StorageError, UsageError
from skelaug.workflows import conversion_plan
from skelaug.workflows import convert as workflow
from skelaug.workflows.convert import ConvertConfig, run

# Kills itself at each flush of a file to the disk in turn, resumes, and compares the bytes.
KILLED_EVERYWHERE = """
import os, signal, sys
from pathlib import Path
from skelaug.workflows import conversion_plan
from skelaug.workflows.convert import ConvertConfig, run

conversion_plan._SHARE_FILES = 2
folder, stride = Path(sys.argv[1]), int(sys.argv[2])
source = folder / "utd"
run(ConvertConfig(sources=(source,), out=folder / "whole" / "out.h5"))
wanted = (folder / "whole" / "out.h5").read_bytes()

def killed(out, count, where):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == signal.SIGKILL
    done = 0
    plain = getattr(*where)
    def fatal(*arguments, **options):
        nonlocal done
        done += 1
        if done == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **options)
    setattr(*where, fatal)
    run(ConvertConfig(sources=(source,), out=out))
    os._exit(0)

moments = 0
for where in ((os, "fsync"), (Path, "unlink")):
    count = 1
    while True:
        out = folder / f"{where[1]}{count}" / "out.h5"
        if not killed(out, count, where):
            break
        resumed = out.parent.joinpath("out.h5.parts").exists()
        if resumed:
            run(ConvertConfig(sources=(source,), out=out), resume=True)
        elif not out.exists():
            run(ConvertConfig(sources=(source,), out=out))
        assert out.read_bytes() == wanted, (where, count)
        left = sorted(path.name for path in out.parent.iterdir())
        assert left == ["out.h5", "out.h5.run.json"], left
        count += stride
        moments += 1
print(moments)
"""


def make_utd(folder: Path, count: int = 7, frames: int = 6) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        skeleton = np.random.default_rng(i).uniform(0.5, 3, (20, 3, frames))
        savemat(folder / f"a{i % 27 + 1}_s{i // 27 + 1}_t1_skeleton.mat", {"d_skel": skeleton})
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@pytest.mark.parametrize(
    ("stride", "moments"), [(5, 4), pytest.param(1, 18, marks=pytest.mark.slow)]
)
def test_killed_at_any_write_a_resumed_run_gives_the_same_bytes(
    tmp_path: Path, stride: int, moments: int
) -> None:
    make_utd(tmp_path / "utd", 3)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path), str(stride)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= moments  # plan, two records, two shards, the run record, the output


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_plan, "_SHARE_FILES", 2)


def stopped(config: ConvertConfig, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run until the disk is full after some shards."""
    plain, done = workflow.convert_shard, 0

    def full(task: workflow.ShardTask) -> int:
        nonlocal done
        done += 1
        if done > after:
            raise StorageError("the disk is full")
        return plain(task)

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "convert_shard", full)
        with pytest.raises(StorageError):
            run(config)


def test_the_report_of_a_resumed_run_covers_all_shards(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_utd(tmp_path / "utd")
    (source / "a1_s7_t1_skeleton.mat").write_bytes(b"junk")
    config = ConvertConfig(sources=(source,), out=tmp_path / "out.h5")
    stopped(config, monkeypatch, 2)
    report = run(config, resume=True)
    assert (report.read, len(report.rejected), report.resumed_shards) == (7, 1, 2)


def test_unfinished_shards_are_refused_without_a_word(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ConvertConfig(sources=(make_utd(tmp_path / "utd"),), out=tmp_path / "out.h5")
    stopped(config, monkeypatch, 1)
    with pytest.raises(UsageError, match="--resume"):
        run(config)
    assert run(config, force=True).resumed_shards == 0


@pytest.mark.parametrize("change", ["layout", "file"])
def test_shards_of_other_settings_or_files_are_refused(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = make_utd(tmp_path / "utd")
    config = ConvertConfig(sources=(source,), out=tmp_path / "out.h5")
    stopped(config, monkeypatch, 1)
    if change == "layout":
        config = config.model_copy(update={"layout": "ntu_25"})
    else:
        (source / "a9_s9_t1_skeleton.mat").write_bytes(b"more")
    with pytest.raises(UsageError, match="other settings or inputs"):
        run(config, resume=True)


def test_a_place_that_cannot_be_written_ends_with_one_line(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="choose another path"):
        run(ConvertConfig(sources=(source,), out=tmp_path / "taken" / "out.h5"))


def wait_for(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_workers_do_not_change_the_bytes(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd", 600)
    for workers in (1, 3):
        config = ConvertConfig(
            sources=(source,), out=tmp_path / str(workers) / "o.h5", workers=workers
        )
        run(config)
    assert (tmp_path / "1" / "o.h5").read_bytes() == (tmp_path / "3" / "o.h5").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_kill_9_from_outside_leaves_no_worker_and_can_be_resumed(tmp_path: Path) -> None:
    source, out = make_utd(tmp_path / "utd", 2000, frames=80), tmp_path / "out.h5"
    command = [sys.executable, "-m", "skelaug", "convert", str(source), str(out)]
    command += ["--workers", "2", "--quiet"]
    process = subprocess.Popen(command, env=environment())
    shards = ShardFolder(out, count=8, plan={})
    wait_for(lambda: len(shards.missing()) <= 7)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)
    subprocess.run([*command, "--resume"], env=environment(), check=True)
    whole = ConvertConfig(sources=(source,), out=tmp_path / "whole" / "out.h5")
    run(whole)
    assert out.read_bytes() == whole.out.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there are no process groups")
def test_an_interrupt_ends_with_one_line_and_can_be_resumed(tmp_path: Path) -> None:
    source, out = make_utd(tmp_path / "utd", 2000, frames=80), tmp_path / "out.h5"
    command = [sys.executable, "-m", "skelaug", "convert", str(source), str(out)]
    command += ["--workers", "2", "--quiet"]
    process = subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, start_new_session=True
    )
    shards = ShardFolder(out, count=8, plan={})
    wait_for(lambda: len(shards.missing()) <= 7)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()
    subprocess.run([*command, "--resume"], env=environment(), check=True)
    assert out.exists()


@pytest.mark.slow
def test_two_processes_of_torchrun_share_the_work(tmp_path: Path) -> None:
    source = make_utd(tmp_path / "utd", 600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "shared" / "out.h5"
    command = [sys.executable, "-m", "skelaug", "convert", str(source), str(out), "--workers", "1"]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            env=environment(
                RANK=str(rank),
                WORLD_SIZE="2",
                LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=str(port),
            ),
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert b"wrote 600 clips" in outputs[0]
    assert outputs[1] == b""
    whole = ConvertConfig(sources=(source,), out=tmp_path / "whole" / "out.h5")
    run(whole)
    assert out.read_bytes() == whole.out.read_bytes()
