#!/bin/sh
# Builds the component, and runs it in the real sandbox with what is in fixtures/.
set -eu
cd "$(dirname "$0")"
./build.sh
exec "${TASKHOST:-taskhost}" test hello-python.wasm --fixtures fixtures "$@"
