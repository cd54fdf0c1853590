"""Measure how long `skelaug --help` takes: several fresh processes, wall and processor time."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time


def processor_seconds() -> float:
    """Processor time of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor time of one process."""
    start, used = time.perf_counter(), processor_seconds()
    subprocess.run(
        [sys.executable, "-m", "skelaug", *arguments], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start, processor_seconds() - used


def main() -> None:
    """Print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    repeat = parser.parse_args().repeat
    for arguments in (["--help"], ["--version"], ["synth", "--help"], ["doctor"]):
        wall, used = zip(*(seconds(arguments) for _ in range(repeat)), strict=True)
        print(
            f"skelaug {' '.join(arguments):<14} best {min(wall):.3f} s, "
            f"median {statistics.median(wall):.3f} s, processor {min(used):.3f} s"
        )


if __name__ == "__main__":
    main()
