#!/bin/sh
# Builds hello-javascript.wasm. componentize-qjs is taken from the path, or else installed into
# node_modules.
set -eu
cd "$(dirname "$0")"
wit=wit/v1
[ -d "$wit" ] || wit=../../wit/v1
kit=componentize-qjs
if ! command -v "$kit" >/dev/null; then
    kit=node_modules/.bin/componentize-qjs
    [ -x "$kit" ] || npm install --silent --no-audit --no-fund
fi
"$kit" --wit "$wit" --world task-type --sync --js app.js \
    --output hello-javascript.wasm >/dev/null
