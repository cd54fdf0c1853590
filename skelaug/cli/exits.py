"""The exit codes of every command: what a script can rely on."""

from __future__ import annotations

__all__ = [
    "BROKEN_PIPE",
    "BUG",
    "CHECK_FAILED",
    "DONE",
    "EXIT_CODES",
    "FINISHED_WITH_REJECTS",
    "INTERRUPTED",
]

DONE = 0
BUG = 1
FINISHED_WITH_REJECTS = 6
CHECK_FAILED = 7
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = {
    DONE: "done",
    BUG: "a bug of skelaug",
    2: "wrong usage or configuration",
    3: "bad input data, or the output cannot be written",
    4: "a package or a device is missing",
    5: "a model, label or file was not found",
    FINISHED_WITH_REJECTS: "finished, but some inputs were rejected",
    CHECK_FAILED: "a check failed",
    INTERRUPTED: "interrupted",
}
