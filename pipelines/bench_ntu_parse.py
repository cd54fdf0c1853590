"""Files per second that one core parses: python pipelines/bench_ntu_parse.py FOLDER [--seconds 5].

FOLDER holds NTU RGB+D .skeleton files; they are read into memory first, so that the disk does not
count; the time is that of the processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from skelaug.data.ntu import parse_ntu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    files = {path.name: path.read_bytes() for path in sorted(options.folder.rglob("*.skeleton"))}
    if not files:
        parser.error(f"{options.folder}: no .skeleton files")
    start, parsed, frames = time.process_time(), 0, 0
    while time.process_time() - start < options.seconds:
        for name, data in files.items():
            frames += parse_ntu(data, path=name).sequence.num_frames
            parsed += 1
    seconds = time.process_time() - start
    print(f"{parsed / seconds:.0f} files/s, {frames / seconds:.0f} frames/s ({len(files)} files)")


if __name__ == "__main__":
    main()
