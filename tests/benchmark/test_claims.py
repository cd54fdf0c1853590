import json
import os
import subprocess
import sys
import threading
import time

import pytest

from skelaug.benchmark.claims import claim_task
from skelaug.errors import StorageError

PATIENCE = 100.0


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def edit(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_one_holds_no_other_gets_until_it_is_given_back(tmp_path):
    claim = claim_task(tmp_path, "ab", patience=PATIENCE)
    assert claim is not None
    assert claim.is_held()
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is None
    other = claim_task(tmp_path, "cd", patience=PATIENCE)
    assert other is not None
    claim.release()
    assert not claim.is_held()
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is not None
    assert other.is_held()


def test_the_dead_of_this_machine_are_followed_at_once(tmp_path):
    first = claim_task(tmp_path, "ab", patience=PATIENCE)
    edit(first.path, pid=dead_pid())
    second = claim_task(tmp_path, "ab", patience=PATIENCE)
    assert second is not None
    assert second.is_held()
    assert not first.is_held()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_those_of_another_machine_are_given_time(tmp_path):
    first = claim_task(tmp_path, "ab", patience=PATIENCE)
    edit(first.path, machine="elsewhere", pid=dead_pid())
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is None
    long_ago = time.time() - 2 * PATIENCE
    os.utime(first.path, (long_ago, long_ago))
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is not None


def test_a_claim_that_was_never_written_counts_by_its_age(tmp_path):
    (tmp_path / "ab.0").touch()
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is None
    os.utime(tmp_path / "ab.0", (0, 0))
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is not None


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_of_many_at_once_exactly_one_wins(tmp_path, is_taken_over):
    for round_ in range(10):
        key = f"k{round_}"
        if is_taken_over:
            edit(claim_task(tmp_path, key, patience=PATIENCE).path, pid=dead_pid())
        start = threading.Barrier(8)
        won = []

        def race(key=key, start=start, won=won):
            start.wait()
            won.append(claim_task(tmp_path, key, patience=PATIENCE))

        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(claim is not None for claim in won) == 1


def test_who_looked_before_the_task_changed_hands_gets_nothing(tmp_path, monkeypatch):
    """It saw a dead claim; before it acted, the task was made, given back and claimed anew."""
    from skelaug.benchmark import claims

    first = claim_task(tmp_path, "ab", patience=PATIENCE)
    edit(first.path, pid=dead_pid())
    create, fresh = claims._create, []

    def slow(path):
        monkeypatch.setattr(claims, "_create", create)
        claim_task(tmp_path, "ab", patience=PATIENCE).release()
        fresh.append(claim_task(tmp_path, "ab", patience=PATIENCE))
        return create(path)

    monkeypatch.setattr(claims, "_create", slow)
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is None
    assert fresh[0].is_held()


def test_who_looked_before_another_claimed_leaves_that_claim_alone(tmp_path, monkeypatch):
    from skelaug.benchmark import claims

    create, faster = claims._create, []

    def slow(path):
        monkeypatch.setattr(claims, "_create", create)
        faster.append(claim_task(tmp_path, "ab", patience=PATIENCE))
        return create(path)

    monkeypatch.setattr(claims, "_create", slow)
    assert claim_task(tmp_path, "ab", patience=PATIENCE) is None
    assert faster[0].is_held()


def test_a_working_process_shows_that_it_lives(tmp_path):
    claim = claim_task(tmp_path, "ab", patience=PATIENCE)
    with claim.kept_fresh(0.06):
        os.utime(claim.path, (0, 0))
        deadline = time.monotonic() + 10
        while claim.path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert time.time() - claim.path.stat().st_mtime < 60
    assert "skelaug-claim" not in {thread.name for thread in threading.enumerate()}


def test_a_lost_claim_gives_back_nothing_of_its_follower(tmp_path):
    first = claim_task(tmp_path, "ab", patience=PATIENCE)
    second = claim_task(tmp_path, "ab", patience=-1.0)  # so impatient that everybody is dead
    first.release()
    assert second.is_held()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", str(tmp_path / "ab.0"))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StorageError, match="the disk is full"):
        claim_task(tmp_path, "ab", patience=PATIENCE)
