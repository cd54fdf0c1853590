from __future__ import annotations

import os
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skelaug.errors import DependencyError
from skelaug.place import Place, alone, one_thread_each, side_by_side, training_place

CPU = torch.device("cpu")


@given(count=st.integers(0, 200), world=st.integers(1, 9))
def test_the_shares_of_all_processes_are_the_batch_cut_into_even_pieces(count, world):
    shares = [Place(CPU, rank=rank, world=world).share(count) for rank in range(world)]
    assert [sample for share in shares for sample in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_is_the_first_agrees_with_itself_and_waits_for_nobody():
    with training_place("cpu") as place:
        assert (place.rank, place.world, place.device, place.is_first) == (0, 1, CPU, True)
        assert place.any(True, False) == [True, False]
        place.wait()
        values = torch.tensor([1.0, 2.0])
        total = place.total(values)
        assert torch.equal(total, values)
        assert total is not values


@pytest.mark.parametrize("device", ["cuda:77", "toaster"])
def test_a_device_that_is_not_there_is_named_with_a_way_out(device):
    message = rf"--device {device}: .*; try --device cpu"
    with pytest.raises(DependencyError, match=message), training_place(device):
        pass


@pytest.mark.parametrize(("workers", "inside"), [(1, 2), (2, 1), (5, 1)])
def test_several_workers_compute_on_a_thread_each_and_one_on_all(workers, inside):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread_each(workers):
            assert torch.get_num_threads() == inside
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_processes_of_a_launcher_can_work_for_themselves(monkeypatch):
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with alone("cpu") as device, training_place(device) as place:
        assert (place.world, place.device.type) == (1, "cpu")
    assert os.environ["WORLD_SIZE"] == "2"


@pytest.mark.parametrize("workers", [1, 3])
def test_results_of_work_side_by_side_come_in_the_order_of_the_items(workers):
    running, most = [0], [0]
    lock = threading.Lock()

    def work(item):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.002 * (item % 4))
        with lock:
            running[0] -= 1
        return 2 * item

    assert list(side_by_side(work, range(12), workers)) == [2 * item for item in range(12)]
    assert most[0] <= workers
