#!/usr/bin/env bash
# Lets Schemathesis hold a host against its own description, /openapi.json: it makes requests that
# the description allows, and ones that it does not, and looks whether what comes back is what the
# description says. Ends with 77 where Schemathesis is not there and cannot be installed.
#
#   tests/openapi.sh [SECONDS]     how long at most; 120 when left out: half of it on a host of one
#                                  user, half of it on one with tokens, as an admin
#
# The seed is printed, and taken from TASKHOST_SEED. Schemathesis (PyPI) is installed into the
# user's cache, one folder a version.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here="$top/tests/openapi"
seconds=${1:-120}
sum=$(sha256sum "$here/requirements.txt" | cut -c 1-16)
kit="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/schemathesis-$sum"
taskhost=${TASKHOST_BINARY:-$top/target/debug/taskhost}

cannot() {
    echo "Schemathesis is not there and cannot be installed: $*" >&2
    exit 77
}

if [ ! -f "$kit/whole" ]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || cannot "Python has no venv"
    rm -rf "$kit"
    python3 -m venv "$kit" || cannot "python3 -m venv"
    "$kit/bin/pip" install --quiet --no-deps -r "$here/requirements.txt" || cannot "pip install"
    touch "$kit/whole"
fi

host=""
scratch=$(mktemp -d)
ended() {
    [ -z "$host" ] || { kill "$host"; wait "$host"; } 2>/dev/null || true
    host=""
}
trap 'ended; rm -rf "$scratch"' EXIT

export SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
seed=${TASKHOST_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "seed $seed (TASKHOST_SEED)"
status=0

# Holds a host with this `identity` against its description, for half of the time.
hold() {
    local home="$scratch/$1" url as=()
    # A type with params, and one that works on a stream.
    mkdir -p "$home/task-types"
    cp "$top/target/task-types/"{hello-task,feature-identification}.wasm "$home/task-types/"
    "$taskhost" serve --listen 127.0.0.1:0 --data "$home/data" --task-types "$home/task-types" \
        --identity "$1" >"$home/said" 2>"$home/log" &
    host=$!
    until [ -s "$home/said" ]; do
        kill -0 "$host" || { cat "$home/log" >&2; exit 1; }
        sleep 0.1
    done
    url=$(sed -n 's/^listening on //p' "$home/said")
    if [ "$1" = tokens ]; then
        TASKHOST_TOKEN=$(grep -o -m 1 'tkh_[0-9a-f_]*' "$home/log")
        export TASKHOST_TOKEN
        # It would revoke the token that it comes with; the end-to-end tests revoke others.
        as=(--header "Authorization: Bearer $TASKHOST_TOKEN" --exclude-operation-id revoke_token)
    fi
    echo '{"message": "something happened"}' >"$home/logs"
    "$taskhost" ingest logs "$home/logs" --url "$url" >/dev/null
    echo "identity = \"$1\""
    (cd "$home" && "$kit/bin/st" --config-file "$here/schemathesis.toml" run "$url/openapi.json" \
        --no-color --seed "$seed" --max-time "$((seconds / 2))" --workers 1 \
        --continue-on-failure --request-timeout 20 --generation-database none \
        --suppress-health-check all "${as[@]}" ${TASKHOST_OPENAPI_ARGUMENTS:-}) || status=$?
    kill -0 "$host" || { echo "the host has ended" >&2; status=1; }
    if grep -E 'panicked|ERROR' "$home/log"; then
        status=1
    fi
    ended
}

hold none
hold tokens
[ "$status" = 0 ] && word="ok. 1 passed; 0 failed" || word="FAILED. 0 passed; 1 failed"
echo "test result: $word"
exit "$status"
