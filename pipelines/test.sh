#!/usr/bin/env bash
# Everything that must hold: formatting, lint, types, tests. Arguments go to pytest, for example
#   ./pipelines/test.sh -m "slow or data"
#   ./pipelines/test.sh tests/plots
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source pipelines/environment.sh
prepare_environment test

.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# two processes of one thread each take half the time of one process of two threads
OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 "$@"
