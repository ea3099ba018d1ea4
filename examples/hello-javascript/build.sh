#!/bin/sh
# Builds hello-javascript.wasm. componentize-qjs is installed into node_modules when it is not
# there.
set -eu
cd "$(dirname "$0")"
wit=wit/v1
[ -d "$wit" ] || wit=../../wit/v1
kit=node_modules/.bin/componentize-qjs
[ -x "$kit" ] || npm install --silent --no-audit --no-fund
"$kit" --wit "$wit" --world minimal-task --sync --js app.js \
    --output hello-javascript.wasm >/dev/null
