#!/usr/bin/env bash
# Shows the pages to a real Chromium, Debian's own, and leaves what they look like in
# target/test-artifacts/page. Ends with 77 where there is none and none can be installed. Wants what
# tests/run.sh has built.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
packages="chromium chromium-driver fonts-dejavu-core"

cannot() {
    echo "a real browser is not there and cannot be installed: $*" >&2
    exit 77
}

if ! command -v chromedriver >/dev/null || ! command -v chromium >/dev/null; then
    command -v apt-get >/dev/null || cannot "there is no apt-get; it takes $packages"
    [ "$(id -u)" = 0 ] || cannot "apt-get install $packages"
    apt-get update -q || cannot "apt-get update"
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages ||
        cannot "apt-get install $packages"
fi
TASKHOST_CHROMEDRIVER=$(command -v chromedriver)
export TASKHOST_CHROMEDRIVER
# One at a time: each has a browser of its own.
cargo test --quiet --no-fail-fast --workspace --test browser -- --test-threads=1 "$@"
