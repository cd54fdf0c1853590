# Sourced by the scripts here: a virtual environment in .venv with the package in it.
# prepare_environment [EXTRAS]   e.g. prepare_environment test; a second call does nothing.

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.11 or newer is needed; install it and run this script again" >&2
    return 1
}

prepare_environment() {
    local extras="${1:-}" python stamp wanted
    if [ ! -x .venv/bin/python ]; then
        python="$(find_python)"
        echo "creating .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    stamp=".venv/installed${extras:+-$extras}"
    wanted="$(cksum pyproject.toml)  $PWD"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    echo "installing into .venv (a few minutes the first time)"
    # torch first and pinned: where a CPU build lies ready, this takes it
    .venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable \
        ".${extras:+[$extras]}"
    echo "$wanted" >"$stamp"
}
