"""Measure how long `skelaug --help` takes: best and median of several fresh processes."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "skelaug", *arguments], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def main() -> None:
    """Print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    repeat = parser.parse_args().repeat
    for arguments in (["--help"], ["--version"], ["synth", "--help"], ["doctor"]):
        times = sorted(seconds(arguments) for _ in range(repeat))
        print(
            f"skelaug {' '.join(arguments):<14} best {times[0]:.3f} s, "
            f"median {statistics.median(times):.3f} s"
        )


if __name__ == "__main__":
    main()
