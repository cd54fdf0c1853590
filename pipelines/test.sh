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
.venv/bin/python -m pytest "$@"
