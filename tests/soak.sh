#!/usr/bin/env bash
# The long proofs, run once before an issue closes: each fuzz target for five minutes, beginning
# with what is kept of earlier runs. Closes with a line of the form
#
#     test result: ok. N passed; N failed
#
#   tests/soak.sh                          all targets, 300 s each
#   tests/soak.sh --seconds 60 NAME…       these targets, so long
#   tests/soak.sh --at-once 2              two targets at a time
#   tests/soak.sh --keep [NAME…]           instead: chooses anew which inputs are kept in
#                                          tests/fuzz/corpus, of those that were found by then
#   tests/soak.sh --build                  instead: only builds the programs
#
# tests/fuzz/README.md says what each target proves, and what to do with an input that was found.
set -euo pipefail

usage() {
    sed -n 's/^#   \(tests\/soak\.sh\)/\1/p' "$0" >&2
    exit 2
}

mode=run
seconds=300
at_once=1
names=()
while [ $# -gt 0 ]; do
    case "$1" in
        --seconds) seconds=${2:-}; shift ;;
        --at-once) at_once=${2:-}; shift ;;
        --keep) mode=keep ;;
        --build) mode=build ;;
        -*) usage ;;
        *) names+=("$1") ;;
    esac
    shift
done
[[ "$seconds" =~ ^[0-9]+$ && "$at_once" =~ ^[1-9][0-9]*$ ]] || usage

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fuzz="$top/tests/fuzz"
work="$top/target/fuzz"
channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$fuzz/rust-toolchain.toml")
triple=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || triple=$(uname -m)-unknown-linux-gnu
tool_version=0.13.2
tool_folder="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/cargo-fuzz-$tool_version"
mkdir -p "$work"

# Whatever targets write goes into memory where there is room for it, and goes with this script.
TMPDIR=$(mktemp -d -p /dev/shm taskhost-fuzz-XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR CARGO_TERM_COLOR=never
trap 'rm -rf "$TMPDIR"' EXIT

# Runs a command, and shows what it says only when it fails.
quietly() {
    local log="$work/$1.log"
    shift
    "$@" >"$log" 2>&1 </dev/null || {
        sed 's/^/    | /' "$log"
        exit 1
    }
}

# The programs are the code as it ships, with coverage and every check of a debug build. There is
# no unsafe code in it, so an address sanitizer would find little and slow all of it down.
build() {
    rustup run "$channel" rustc --version >/dev/null 2>&1 ||
        quietly toolchain rustup toolchain install "$channel" --profile minimal
    [ -x "$tool_folder/bin/cargo-fuzz" ] || quietly tool rustup run "$channel" \
        cargo install cargo-fuzz --version "$tool_version" --locked --root "$tool_folder"
    quietly build rustup run "$channel" env CARGO_TARGET_DIR="$work" \
        "$tool_folder/bin/cargo-fuzz" build --fuzz-dir "$fuzz" --target "$triple" \
        --sanitizer none --debug-assertions --no-cfg-fuzzing
}

# The longest input that is made: a longer one finds nothing else, and takes its time.
length_max() {
    case "$1" in
        condition | kibana_routes) echo 1024 ;;
        descriptor | host_call_json) echo 8192 ;;
        *) echo 16384 ;;
    esac
}

program() {
    echo "$work/$triple/release/$1"
}

# fuzz NAME: for so long, or until something is found.
fuzz() {
    local name=$1 log="$work/$1.log" found="$work/found/$1" status=0
    local inputs=("$work/corpus/$name" "$fuzz/corpus/$name" "$fuzz/seeds/$name")
    mkdir -p "$work/corpus/$name" "$found"
    [ ! -d "$fuzz/regressions/$name" ] || inputs+=("$fuzz/regressions/$name")
    local dictionary="$fuzz/dictionaries/$name.dict"
    "$(program "$name")" -max_total_time="$seconds" -max_len="$(length_max "$name")" \
        -timeout=30 -rss_limit_mb=3072 -print_final_stats=1 -artifact_prefix="$found/" \
        ${dictionary:+$([ ! -e "$dictionary" ] || echo "-dict=$dictionary")} \
        "${inputs[@]}" >"$log" 2>&1 </dev/null || status=$?
    awk -v name="$name" '
        match($0, /cov: [0-9]+ ft: [0-9]+/) { seen = substr($0, RSTART, RLENGTH) }
        /^Done / { done = $2 " execs in " $5 " s" }
        /^stat::average_exec_per_sec/ { rate = $2 "/s" }
        END { printf "%-18s %-28s %-8s %s\n", name, done, rate, seen }' "$log"
    if [ "$status" != 0 ]; then
        tail -n 60 "$log" | sed 's/^/    | /'
        echo "    the input is in ${found#"$top/"}: tests/fuzz/README.md says what to do"
        return 1
    fi
}

# keep NAME: few and small inputs that reach most of what all that were found reach.
keep() {
    local name=$1 control="$work/$1.merge" merged="$work/merged/$1"
    mkdir -p "$merged" "$work/corpus/$name" "$fuzz/corpus/$name"
    rm -f "$control" "$merged"/*
    quietly "$name" "$(program "$name")" -set_cover_merge=1 -merge_control_file="$control" \
        -timeout=30 -rss_limit_mb=3072 "$merged" "$fuzz/seeds/$name" "$fuzz/corpus/$name" \
        "$work/corpus/$name"
    python3 "$fuzz/keep.py" "$control" "$fuzz/corpus/$name"
    # What adds nothing would only be run again at the beginning of each run.
    rm -r "$work/corpus/$name"
    mv "$merged" "$work/corpus/$name"
}

build
[ "$mode" != build ] || exit 0
if [ ${#names[@]} = 0 ]; then
    for file in "$fuzz"/fuzz_targets/*.rs; do
        name=${file##*/}
        names+=("${name%.rs}")
    done
fi
if [ "$mode" = keep ]; then
    for name in "${names[@]}"; do
        keep "$name"
    done
    exit 0
fi

passed=0
failed=0
running=0
for name in "${names[@]}"; do
    if [ "$running" -ge "$at_once" ]; then
        if wait -n; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        running=$((running - 1))
    fi
    fuzz "$name" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    if wait -n; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    running=$((running - 1))
done
words=ok
[ "$failed" = 0 ] || words=FAILED
echo "test result: $words. $passed passed; $failed failed"
[ "$failed" = 0 ]
