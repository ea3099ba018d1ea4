#!/usr/bin/env bash
# Runs everything that holds this project together, and closes with one line:
#
#     N passed, N failed
#
# Above it stands what each step took. A step's output is shown when it fails, and kept in
# target/test-logs in any case.
#
#   tests/run.sh          what a change has to pass; the examples in Python and JavaScript only
#                         where their kits are there already
#   tests/run.sh --full   the same with those kits, a real browser, a real small language model, a
#                         real Elasticsearch, and the quality report with its baseline; what CI
#                         runs
#   tests/run.sh --all    the same with the host as it is released, more cases of each random test,
#                         and a minute of fuzzing a target; what an issue closes on, together with
#                         tests/soak.sh
set -euo pipefail

mode=quick
case "${1:-}" in
    "") ;;
    --full) mode=full ;;
    --all) mode=all ;;
    *)
        echo "usage: tests/run.sh [--full | --all]" >&2
        exit 2
        ;;
esac

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
logs=target/test-logs
mkdir -p "$logs"
passed=0
failed=0
skipped=()

# Everything is built below target/, and nothing of the user's own is read or changed.
export CARGO_TARGET_DIR="$top/target" CARGO_TERM_COLOR=never RUST_BACKTRACE=0

# Two runs at once would write each other's logs, and make each other's tests slow.
exec 9>"$logs/lock"
if ! flock --nonblock 9; then
    echo "tests/run.sh: waiting for another one to end …" >&2
    flock 9
fi

# Makes sure of what a fresh machine with rustup lacks.
prepare() {
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        . "$HOME/.cargo/env"
    fi
    if ! command -v cargo >/dev/null; then
        echo "tests/run.sh: there is no cargo: install rustup from https://rustup.rs" >&2
        exit 2
    fi
    if ! command -v cc >/dev/null || ! command -v make >/dev/null; then
        install "a C compiler and make" gcc libc6-dev make
    fi
    if [ "$mode" != quick ] && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        install "Python with venv, for the baseline" python3 python3-venv
    fi
    # rust-toolchain.toml says which; rustup fetches it when it is first used, or is told to.
    if command -v rustup >/dev/null && ! cargo fmt --version >/dev/null 2>&1; then
        rustup toolchain install >"$logs/rustup.log" 2>&1 || rustup show >>"$logs/rustup.log" 2>&1
    fi
}

# install WHAT PACKAGE…: by apt where that is possible.
install() {
    local what=$1
    shift
    if [ "$(id -u)" != 0 ]; then
        echo "tests/run.sh: needs $what: apt-get install $*" >&2
        exit 2
    fi
    apt-get update -q >"$logs/apt.log" 2>&1
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "$@" >>"$logs/apt.log" 2>&1
}

# step NAME COMMAND…: runs it, and says what it took. With `show` its output is always shown. What
# ends with 77 lacks something, which its last line names.
step() {
    local name=$1 log="$logs/${1// /-}.log" begun=${EPOCHREALTIME/[.,]/} status=0
    shift
    [ ! -t 1 ] || printf '         %s …\r' "$name"
    "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
    if [ "$status" = 77 ]; then
        skipped+=("$name; $(tail -n 1 "$log")")
        status=0
    fi
    local tenths=$(((${EPOCHREALTIME/[.,]/} - begun) / 100000))
    local result
    result=$(count "$log")
    local fine=${result% *} wrong=${result#* }
    # What fails without a failed test (a lint, a compiler, a test program that died) is one.
    [ "$status" = 0 ] || [ "$wrong" != 0 ] || wrong=1
    passed=$((passed + fine))
    failed=$((failed + wrong))
    local words=""
    [ "$fine$wrong" = 00 ] || words="$fine passed, $wrong failed"
    [ "$wrong" = 0 ] && [ -z "${show:-}" ] || sed "s/^/    | /" "$log"
    printf '%5d.%d s  %-22s %s\n' $((tenths / 10)) $((tenths % 10)) "$name" "$words"
}

# Sums what the test programs in a log say of themselves: "PASSED FAILED".
count() {
    awk '/^test result: / { p += $4; f += $6 } END { print p + 0, f + 0 }' "$1"
}

# Everything that runs on this machine but what has a step of its own.
rest="--workspace --exclude taskhost-tidy --exclude taskhost-e2e"

prepare
# A full disk and a read-only folder are mounts that only a test's own processes see.
if ! unshare --mount true 2>/dev/null && ! unshare --user --map-root-user --mount true 2>/dev/null
then
    export TASKHOST_WITHOUT_MOUNTS=1
fi
# One profile for the host and the tests: what both are made of is compiled once.
export TASKHOST_PROFILE=dev TASKHOST_BINARY="$top/target/debug/taskhost"
if [ "$mode" = all ]; then
    TASKHOST_PROFILE=release TASKHOST_BINARY="$top/target/release/taskhost"
    # Read by proptest, and by tests/e2e/src/lib.rs.
    export PROPTEST_CASES=5000 TASKHOST_LONG=1
fi
step "format" cargo fmt --all --check
step "lints" cargo clippy --quiet --workspace --all-targets -- -D warnings
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps
step "house rules" cargo test --quiet --workspace --test tidy
step "host and examples" examples/build.sh
step "demo" examples/demo.sh
step "guests" cargo build --quiet --profile component --target wasm32-wasip2 \
    -p taskhost-guests --examples
step "unit tests" cargo test --quiet --no-fail-fast $rest --lib --bins --tests
step "doc tests" cargo test --quiet --no-fail-fast $rest --doc
step "end to end" cargo test --quiet --workspace --test e2e
seconds=60
[ "$mode" = quick ] || seconds=150
step "the interface described" tests/openapi.sh "$seconds"
if_installed=""
[ "$mode" != quick ] || if_installed=--if-installed
for language in python javascript; do
    step "example in $language" tests/kits.sh "$language" $if_installed
done
if [ "$mode" != quick ]; then
    step "a real browser" tests/browser.sh
    step "a real small model" tests/small-model.sh
    step "a real Elasticsearch" tests/elasticsearch/with.sh bash -c '
        status=0
        cargo test --quiet --no-fail-fast --workspace --lib elastic || status=1
        cargo test --quiet --no-fail-fast --workspace --test e2e -- people:: elsewhere:: || status=1
        cargo test --quiet --no-fail-fast --workspace --test hosts || status=1
        tests/browser.sh people:: || [ $? = 77 ] || status=1
        [ -z "${TASKHOST_LONG:-}" ] ||
            cargo test --quiet --no-fail-fast --workspace --test suite -- elastic:: || status=1
        exit $status'
    step "demo on Elasticsearch" examples/demo.sh --elasticsearch
    step "quality's build" cargo build --quiet --workspace --bin taskhost-quality
    show=1 step "quality" target/debug/taskhost-quality
fi
if [ "$mode" = all ]; then
    show=1 step "fuzzing, 60 s a target" tests/soak.sh --seconds 60
fi

echo
for what in ${skipped[@]+"${skipped[@]}"}; do
    echo "!!! SKIPPED: $what"
done
if [ "$mode" = full ]; then
    echo "!!! SKIPPED: the proofs of many hosts that take minutes; tests/run.sh --all"
fi
if [ -z "${TASKHOST_OLD_BINARY:-}" ]; then
    echo "!!! SKIPPED: the last version beside this one; set TASKHOST_OLD_BINARY to its program"
fi
if [ -z "${TASKHOST_EXTRA_LOGS:-}" ]; then
    echo "!!! SKIPPED: mixes of further logs; set TASKHOST_EXTRA_LOGS=DIR (NAME.log files)"
fi
if [ -n "${TASKHOST_WITHOUT_MOUNTS:-}" ]; then
    echo "!!! SKIPPED: a full disk, a read-only folder; needs \`unshare --mount\`"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
