#!/usr/bin/env bash
# Builds the host and every example component:
#
#     target/release/taskhost
#     target/task-types/NAME.wasm
#
# With TASKHOST_PROFILE=dev the host is built like the tests, as target/debug/taskhost: the tests do
# not have all that it is made of compiled twice.
#
# Quiet when there is nothing to build. Needs rustup, and a C compiler with make for linking, for
# the embedded store and for the allocator; where they lack and apt may be used, they are installed.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
export CARGO_TARGET_DIR="$top/target"
# Beside them stands stream-reading, which the last four share, and which is no component.
components=(hello-task checkpointed fan-out http-digest feature-identification
    description-generation query-generation onboarding insights-discovery)

profile=${TASKHOST_PROFILE:-release}
host="target/${profile/#dev/debug}/taskhost"

fail() {
    echo "examples/build.sh: $*" >&2
    exit 2
}

# A shell that has not been opened again since rustup was installed does not know cargo yet.
if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
    . "$HOME/.cargo/env"
fi
command -v cargo >/dev/null ||
    fail "there is no cargo: install rustup from https://rustup.rs, then start again"

if ! command -v cc >/dev/null || ! command -v make >/dev/null; then
    packages="gcc libc6-dev make"
    if ! command -v apt-get >/dev/null; then
        fail "there is no C compiler or no make: install both, as cc and make"
    elif [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo="sudo"
    else
        fail "there is no C compiler or no make: sudo apt-get install $packages, then start again"
    fi
    echo "There is no C compiler or no make: installing $packages …"
    log=$(mktemp)
    if ! { $sudo apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends \
            $packages; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "the packages could not be installed: $packages"
    fi
    rm -f "$log"
fi

# Says what takes so long, but nothing when everything is built.
quiet=--quiet
if [ ! -x "$host" ]; then
    echo "Building the host and the example components; it takes some ten minutes …"
    [ ! -t 2 ] || quiet=""
fi

# The target stands in rust-toolchain.toml, but a toolchain that was there before may lack it.
if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx wasm32-wasip2; then
    rustup target add wasm32-wasip2 >/dev/null 2>&1 ||
        fail "rustup target add wasm32-wasip2 does not work here"
fi

# With the whole workspace in view, what the tests are made of fits; alone the host is made of less.
whose=--package=taskhost-server
[ "$profile" = release ] || whose=--workspace
cargo build $quiet --profile "$profile" "$whose" --bin taskhost
cargo build $quiet --profile component --target wasm32-wasip2 "${components[@]/#/--package=}"

mkdir -p target/task-types
for name in "${components[@]}"; do
    built="target/wasm32-wasip2/component/${name//-/_}.wasm"
    kept="target/task-types/$name.wasm"
    if ! cmp -s "$built" "$kept"; then
        # Beside, then renamed: a host that watches the folder never sees half of it.
        cp "$built" "$kept.new"
        mv "$kept.new" "$kept"
    fi
done
