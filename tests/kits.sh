#!/usr/bin/env bash
# Builds the example of another language with the language's own kit, and runs its tests in the
# real sandbox. Ends with 77 where the kit is not there and cannot be installed.
#
#   tests/kits.sh python | javascript
#
# The kits are installed into the user's cache, one folder a version.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
language=${1:?python or javascript}
example="$top/examples/hello-$language"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/kits"

# The cache's folder for what the file says that is to be installed.
folder_for() {
    echo "$cache/$language-$(sha256sum <"$1" | cut -c 1-16)"
}

cannot() {
    echo "the kit of $language is not there and cannot be installed: $*" >&2
    exit 77
}

case "$language" in
    python)
        kit=$(folder_for "$example/requirements.txt")
        if [ ! -x "$kit/bin/componentize-py" ]; then
            python3 -m venv "$kit" || cannot "python3 -m venv"
            "$kit/bin/pip" install --quiet --requirement "$example/requirements.txt" ||
                cannot "pip install"
        fi
        PATH="$kit/bin:$PATH"
        ;;
    javascript)
        command -v npm >/dev/null || cannot "there is no npm"
        kit=$(folder_for "$example/package.json")
        if [ ! -x "$kit/node_modules/.bin/componentize-qjs" ]; then
            mkdir -p "$kit"
            cp "$example/package.json" "$kit/"
            (cd "$kit" && npm install --silent --no-audit --no-fund) || cannot "npm install"
        fi
        PATH="$kit/node_modules/.bin:$PATH"
        ;;
    *) cannot "there is no such example" ;;
esac

export PATH TASKHOST="${TASKHOST_BINARY:-$top/target/release/taskhost}"
"$example/test.sh"
echo "test result: ok. 1 passed; 0 failed"
