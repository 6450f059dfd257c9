#!/bin/sh
# Writes the lock files again from pyproject.toml: every platform, every hash, no address of any package index.
set -eu
cd "$(dirname "$0")/.."

if command -v uv >/dev/null 2>&1; then uv=uv
elif [ -x .venv/bin/uv ]; then uv=.venv/bin/uv
else
    echo "lock: uv is needed to write the locks; install it (python3 -m pip install uv) and run make lock again." >&2
    exit 1
fi

compile() {
    output=$1
    shift
    echo "lock: $output"
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --output-file "$output" "$@" pyproject.toml
}

# Each later file is held to the versions of the one before it, so that all of them fit into one environment.
compile requirements/dev.txt --extra metrics --extra sentry --extra test --extra quality ${UPGRADE:+--upgrade}
compile requirements/runtime.txt --extra metrics --extra sentry --constraint requirements/dev.txt
compile requirements/e2e.txt --extra e2e --constraint requirements/dev.txt

if grep -nE '://|^-|@ |^psycopg(\[|==)' requirements/*.txt; then
    echo "lock: the lines above must not stand in a lock file." >&2
    exit 1
fi
