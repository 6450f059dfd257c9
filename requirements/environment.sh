#!/bin/sh
# Makes .venv from the locks: `environment.sh runtime` for running, `environment.sh dev` for tests and lint as well,
# `environment.sh e2e` adds the browser driver. Needs nothing but Python 3.11 or later; quick when nothing changed.
set -eu
cd "$(dirname "$0")/.."

want=${1:-dev}
lock=requirements/$want.txt
stamp=.venv/installed-$want
sum=$(cksum <"$lock")

say() { echo "env: $*"; }
fail() {
    echo "env: $*" >&2
    exit 1
}

# A name on the PATH proves nothing (a pyenv shim of a version that is not selected fails), so each is run.
runs() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python /usr/bin/python3; do
        if runs "$name" && { [ -n "$uv" ] || "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; }; then
            echo "$name"
            return
        fi
    done
}

uv=
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then uv=uv; fi

if ! runs .venv/bin/python; then
    python=$(find_python)
    [ -n "$python" ] || fail "no Python 3.11 or later with its venv module runs here; install one (Debian: apt install python3 python3-venv) or name it with PYTHON=/path/to/python3."
    say "making .venv with $("$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"
    rm -rf .venv
    if [ -n "$uv" ]; then
        uv venv --quiet --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
    else
        "$python" -m venv .venv
    fi || fail "the virtual environment could not be made in $(pwd)/.venv."
elif [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]; then
    exit 0
elif [ "$want" = runtime ] && [ -f .venv/installed-dev ] && [ "$(cat .venv/installed-dev)" = "$(cksum <requirements/dev.txt)" ]; then
    # The development lock holds everything of the runtime lock, at the same versions.
    exit 0
fi

say "installing $lock, every file checked by its hash (about half a minute the first time)"
if [ -n "$uv" ]; then
    uv pip install --quiet --python .venv/bin/python --require-hashes --requirement "$lock"
else
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --upgrade >/dev/null
    # The lock is complete, so pip need not resolve: its resolver asks for the newest release of what is named with an
    # extra (coverage[toml]), whatever the lock says, and then has no hash for it.
    .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$lock"
fi || fail "the packages of $lock could not be installed; the lines above say why (is a package index reachable?)."
echo "$sum" >"$stamp"
say "ready"
