#!/bin/sh
# Builds hello-python.wasm. componentize-py is taken from the path, or else installed into .venv.
set -eu
cd "$(dirname "$0")"
wit=wit/v1
[ -d "$wit" ] || wit=../../wit/v1
kit=componentize-py
if ! command -v "$kit" >/dev/null; then
    kit=.venv/bin/componentize-py
    if [ ! -x "$kit" ]; then
        python3 -m venv .venv
        .venv/bin/pip install --quiet --requirement requirements.txt
    fi
fi
"$kit" -d "$wit" -w task-type componentize app -o hello-python.wasm >/dev/null
