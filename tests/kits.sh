#!/usr/bin/env bash
# Builds the example of another language with the language's own kit, and runs its tests in the
# real sandbox; then the same with what goes wrong in a task: an exception, an error in words, and
# what is printed. Ends with 77 where the kit is not there and cannot be installed.
#
#   tests/kits.sh python | javascript [--if-installed]
#
# The kits are installed into the user's cache, one folder a version.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
language=${1:?python or javascript}
if_installed=${2:-}
example="$top/examples/hello-$language"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/kits"

# The cache's folder for what the file says that is to be installed.
folder_for() {
    echo "$cache/$language-$(sha256sum <"$1" | cut -c 1-16)"
}

may_install() {
    [ -z "$if_installed" ] || cannot "tests/run.sh --full installs it"
}

cannot() {
    echo "the kit of $language is not there and cannot be installed: $*" >&2
    exit 77
}

case "$language" in
    python)
        kit=$(folder_for "$example/requirements.txt")
        if [ ! -x "$kit/bin/componentize-py" ]; then
            may_install
            python3 -m venv "$kit" || cannot "python3 -m venv"
            "$kit/bin/pip" install --quiet --requirement "$example/requirements.txt" ||
                cannot "pip install"
        fi
        PATH="$kit/bin:$PATH"
        printed=("printed" "complained")
        ;;
    javascript)
        command -v npm >/dev/null || cannot "there is no npm"
        kit=$(folder_for "$example/package.json")
        if [ ! -x "$kit/node_modules/.bin/componentize-qjs" ]; then
            may_install
            mkdir -p "$kit"
            cp "$example/package.json" "$kit/"
            (cd "$kit" && npm install --silent --no-audit --no-fund) || cannot "npm install"
        fi
        PATH="$kit/node_modules/.bin:$PATH"
        printed=()
        ;;
    *) cannot "there is no such example" ;;
esac

export PATH TASKHOST="${TASKHOST_BINARY:-$top/target/release/taskhost}"
"$example/test.sh"

# A project as `taskhost new` makes it, with a task that is unkind.
unkind="$top/target/test-scratch/kit-$language"
rm -rf "$unkind"
mkdir -p "$unkind"
(cd "$unkind" && "$TASKHOST" new unkind --lang "$language" >/dev/null)
cd "$unkind/unkind"
project=(app.*)
told=$(sed -n '/^\/\/ An exception of the language/,$p' "$project")
cp "$top/tests/kits/$language/$project" .
[ -z "$told" ] || printf '%s\n' "$told" >>"$project"
./build.sh

# says WISH STATUS WORDS…: the task with this wish has to end so, and each of the words stands in
# what is told of it.
says() {
    local wish=$1 status=$2 said
    shift 2
    if ! said=$("$TASKHOST" test unkind.wasm --params "{\"wish\":\"$wish\"}" --expect "$status")
    then
        printf '%s\n' "$said" >&2
        exit 1
    fi
    for words in "$@"; do
        grep -qF -- "$words" <<<"$said" || {
            printf '%s\nlacks: %s\n' "$said" "$words" >&2
            exit 1
        }
    done
}

says raise failed "no such thing" "app."
says fail failed "no-such-city" "there is none"
says print completed ${printed[@]+"${printed[@]}"} "logged" '"slept": 200' "\"year\": $(date +%Y)"
if [ "$language" = javascript ]; then
    says throw failed "oops"
    says error-with-code failed "no-such-city" "there is none"
    says nothing failed "run returned no text but undefined"
fi
echo "test result: ok. 4 passed; 0 failed"
