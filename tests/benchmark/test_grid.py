import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelaug.benchmark.claims import claim_task
from skelaug.benchmark.grid import Grid, Task
from skelaug.errors import DataError, InterruptedRunError

TASKS = 2 * (1 + 1 + 4)


def toy(
    folder: Path, log: Path, *, pause: float = 0.0, stop_at: str = ""
) -> tuple[Grid, list[Task]]:
    """Two generators, a pool of each, four cells of each pool; a cell adds up what it stands on.

    Every making is logged as "KEY PID" and takes a pause; that of `stop_at` never ends.
    """
    grid = Grid(folder)

    def task(kind: str, number: int, *needs: Task) -> Task:
        def make(part: Path) -> None:
            with log.open("a") as file:
                file.write(f"{one.key} {os.getpid()}\n")
            (part / "half").write_text("no result yet")
            time.sleep(600 if f"{kind}:{number}" == stop_at else pause)
            (part / "half").unlink()
            below = sum(int((grid.path(need) / "sum").read_text()) for need in needs)
            (part / "sum").write_text(str(10 * below + number))

        one = Task(kind, {"number": number}, make, needs)
        return one

    cells = []
    for generator in (1, 2):
        pool = task("pool", 3, task("generator", generator))
        cells += [task("cell", number, pool) for number in range(4)]
    return grid, cells


def start(folder: Path, log: Path, *, stop_at: str = "", together: int = 1) -> subprocess.Popen:
    """This file as a process of its own; it begins when `together` of them are there."""
    command = [sys.executable, __file__, str(folder), str(log), stop_at, str(together)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def run_alone(folder: str, log: str, stop_at: str, together: str) -> None:
    ready = Path(log).with_name("ready")
    ready.mkdir(exist_ok=True)
    (ready / str(os.getpid())).touch()
    wait_for(lambda: len(list(ready.iterdir())) >= int(together))
    grid, cells = toy(Path(folder), Path(log), pause=0.04, stop_at=stop_at)
    grid.complete(cells)


def tree(folder: Path) -> dict[str, str]:
    """Every file of a finished grid; claims and what is in the making would show."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def made(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


@pytest.fixture
def expected(tmp_path) -> dict[str, str]:
    grid, cells = toy(tmp_path / "expected", tmp_path / "expected.log")
    grid.complete(cells)
    return tree(grid.folder)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def test_one_process_makes_every_task_once_and_needs_first(tmp_path, expected):
    log = tmp_path / "log"
    grid, cells = toy(tmp_path / "grid", log)
    assert len(grid.remaining(cells)) == TASKS
    grid.complete(cells)
    assert len(made(log)) == len(set(made(log))) == TASKS
    assert grid.remaining(cells) == ()
    assert (grid.path(cells[1]) / "sum").read_text() == str(10 * (10 * 1 + 3) + 1)
    assert (grid.path(cells[6]) / "sum").read_text() == str(10 * (10 * 2 + 3) + 2)
    assert tree(grid.folder) == expected
    grid.complete(cells)
    assert len(made(log)) == TASKS


def test_work_goes_depth_first(tmp_path):
    log = tmp_path / "log"
    grid, cells = toy(tmp_path / "grid", log)
    grid.complete(cells)
    first_pool = [cells[0].needs[0].needs[0].key, cells[0].needs[0].key]
    assert made(log)[:6] == first_pool + [cell.key for cell in cells[:4]]


def test_two_processes_share_a_grid_and_nothing_is_made_twice(tmp_path, expected):
    folder, log = tmp_path / "grid", tmp_path / "log"
    processes = [start(folder, log, together=2) for _ in range(2)]
    for process in processes:
        assert process.wait(60) == 0, process.communicate()[1]
        process.communicate()
    assert sorted(made(log)) == sorted(set(made(log)))
    assert {int(line.split()[1]) for line in log.read_text().splitlines()} == {
        process.pid for process in processes
    }
    assert tree(folder) == expected


@pytest.mark.parametrize("stop_at", ["generator:2", "cell:2"])
def test_a_killed_process_loses_at_most_the_task_it_was_at(tmp_path, expected, stop_at):
    folder, log = tmp_path / "grid", tmp_path / "log"
    process = start(folder, log, stop_at=stop_at)
    kind, _, number = stop_at.partition(":")
    grid, cells = toy(folder, log)
    every = {task.key: task for task in grid.remaining(cells)}

    def is_there() -> bool:
        keys = made(log) if log.exists() else []
        last = every[keys[-1]] if keys else None
        return last is not None and (last.kind, last.settings["number"]) == (kind, int(number))

    wait_for(is_there)
    wait_for(lambda: list(folder.glob(f"{kind}/.*.part/half")))
    process.kill()
    process.communicate()
    before = made(log)
    assert not grid.is_done(every[before[-1]])
    assert all(grid.is_done(every[key]) for key in before[:-1])
    grid.complete(cells)
    assert made(log).count(before[-1]) == 2
    assert len(made(log)) == TASKS + 1
    assert tree(folder) == expected


def test_a_terminated_process_leaves_finished_results_only(tmp_path):
    folder, log = tmp_path / "grid", tmp_path / "log"
    process = start(folder, log, stop_at="pool:3")
    wait_for(lambda: list(folder.glob("pool/.*.part/half")))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert "InterruptedRunError" in errors
    assert {path.split("/")[0] for path in tree(folder)} == {"generator"}
    assert list(folder.glob("*/.*")) == []


def write(text: str):
    return lambda part: (part / "text").write_text(text) and None


settings = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


def reversed_order(value):
    if isinstance(value, dict):
        return {key: reversed_order(value[key]) for key in reversed(value)}
    return [reversed_order(one) for one in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=3), settings))
def test_equal_settings_in_any_order_are_one_task(values):
    one, other = Task("cell", values, write("a")), Task("cell", reversed_order(values), write("b"))
    assert one == other
    assert one.key == other.key
    assert len({one, other}) == 1


def test_what_decides_the_result_decides_the_key():
    need = Task("pool", {"seed": 1}, write(""))
    task = Task("cell", {"arm": "real"}, write(""), (need,))
    others = [
        Task("cell", {"arm": "copies"}, write(""), (need,)),
        Task("pool", {"arm": "real"}, write(""), (need,)),
        Task("cell", {"arm": "real"}, write("")),
        Task("cell", {"arm": "real"}, write(""), (Task("pool", {"seed": 2}, write("")),)),
    ]
    assert len({task, *others}) == 5
    assert len({one.key for one in (task, *others)}) == 5
    assert len(task.key) == 16


def test_a_key_stays_when_the_settings_of_the_caller_change():
    values = {"arm": "real", "classes": [1, 2]}
    task = Task("cell", values, write(""))
    values["classes"].append(3)
    assert task.settings["classes"] == [1, 2]


def test_settings_that_are_no_plain_values_are_refused():
    with pytest.raises(TypeError, match="JSON"):
        Task("cell", {"path": Path("a")}, write(""))
    with pytest.raises(ValueError, match="JSON"):
        Task("cell", {"share": float("nan")}, write(""))
    for kind in ("a/b", "", "claims", "..", ".hidden"):
        with pytest.raises(ValueError, match="a word"):
            Task(kind, {}, write(""))


def test_a_reader_finds_the_settings_beside_a_result(tmp_path):
    need = Task("pool", {"seed": 1}, write("pool"))
    task = Task("cell", {"arm": "real", "ratio": 0.5}, write("cell"), (need,))
    grid = Grid(tmp_path)
    grid.complete([task])
    record = json.loads((grid.path(task) / "settings.json").read_text())
    assert record["settings"] == {"arm": "real", "ratio": 0.5}
    assert record["needs"] == [{"kind": "pool", "key": need.key}]
    assert record["key"] == grid.path(task).name


@pytest.mark.parametrize("error", [DataError("bad"), KeyError("bug"), KeyboardInterrupt()])
def test_a_failing_task_leaves_nothing_and_is_tried_again(tmp_path, error):
    faults = [error]

    def make(part: Path) -> None:
        (part / "half").touch()
        if faults:
            raise faults.pop()

    good, bad = Task("cell", {"n": 0}, write("good")), Task("cell", {"n": 1}, make)
    grid = Grid(tmp_path)
    with pytest.raises(type(error)):
        grid.complete([good, bad])
    assert grid.remaining([good, bad]) == (bad,)
    assert list(tmp_path.glob("claims/*")) == []
    assert list(tmp_path.glob("*/.*")) == []
    grid.complete([good, bad])
    assert (grid.path(bad) / "half").is_file()


def test_an_interrupted_training_says_how_to_go_on_with_the_whole(tmp_path):
    def make(part: Path) -> None:
        raise InterruptedRunError(f"{part}: go on with --resume")

    with pytest.raises(InterruptedRunError, match="run the same command again"):
        Grid(tmp_path).complete([Task("cell", {}, make)])


def test_what_another_makes_is_waited_for_and_something_else_done_meanwhile(tmp_path):
    grid, makers, seen = Grid(tmp_path), [], []

    def task(n: int) -> Task:
        return Task("cell", {"n": n}, lambda part: makers.append(n))

    held, free = task(0), task(1)
    (tmp_path / "claims").mkdir()
    claim = claim_task(tmp_path / "claims", held.key, patience=100)

    def another() -> None:
        wait_for(lambda: grid.is_done(free))
        grid.path(held).mkdir()
        claim.release()

    thread = threading.Thread(target=another)
    thread.start()
    grid.complete([held, free], on_done=lambda one: seen.append(one.settings["n"]))
    thread.join()
    assert makers == [1]
    assert seen == [1, 0]


def test_a_sleeper_that_lost_its_task_lets_the_other_result_stand(tmp_path):
    grid = Grid(tmp_path)

    def make(part: Path) -> None:  # while it "sleeps", another takes over, cleans up and finishes
        other = claim_task(tmp_path / "claims", task.key, patience=-1.0)
        (part / "half").touch()
        for path in part.iterdir():
            path.unlink()
        part.rmdir()
        grid.path(task).mkdir()
        (grid.path(task) / "whose").write_text("the other's")
        other.release()
        (part / "half").touch()

    task = Task("cell", {}, make)
    grid.complete([task])
    assert (grid.path(task) / "whose").read_text() == "the other's"
    assert list(tmp_path.glob("claims/*")) == []


def test_needs_of_finished_tasks_are_not_made_again(tmp_path):
    log = tmp_path / "log"
    grid, cells = toy(tmp_path / "grid", log)
    grid.complete(cells)
    for need in (cells[0].needs[0], cells[0].needs[0].needs[0]):
        for path in grid.path(need).iterdir():
            path.unlink()
        grid.path(need).rmdir()
    assert grid.remaining(cells) == ()
    grid.complete(cells)
    assert len(made(log)) == TASKS


def test_progress_counts_what_an_earlier_run_had_finished(tmp_path):
    seen = []

    @contextlib.contextmanager
    def progress(description, *, total, done=0):
        seen.append((total, done))
        yield lambda count=1, note="": seen.append(count)

    grid, cells = toy(tmp_path / "grid", tmp_path / "log")
    grid.complete(cells[:4])
    grid.complete(cells, progress=progress)
    assert seen == [(4 + 2 + 4, 4), *[1] * 6]


if __name__ == "__main__":
    run_alone(*sys.argv[1:])
