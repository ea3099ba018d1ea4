#!/bin/sh
# Builds the component, and runs it in the real sandbox with what is in fixtures/.
set -eu
cd "$(dirname "$0")"
cargo build --release --target wasm32-wasip2
exec "${TASKHOST:-taskhost}" test WASM --fixtures fixtures "$@"
