#!/bin/sh
# Builds the component, and runs it in the real sandbox with what is in fixtures/.
set -eu
cd "$(dirname "$0")"
cargo build --release --target wasm32-wasip2
# Wherever cargo puts what it builds.
target=$(cargo metadata --no-deps --format-version 1 |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "${TASKHOST:-taskhost}" test "$target/wasm32-wasip2/release/WASM" --fixtures fixtures "$@"
