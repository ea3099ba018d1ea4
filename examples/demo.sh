#!/usr/bin/env bash
# Shows the main job from end to end: starts a host on a temporary store, sends it the captured
# logs of examples/data, and finds the systems that wrote them.
#
#   examples/demo.sh           ends when it is done
#   examples/demo.sh --keep    leaves the host running until Ctrl-C
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$top/examples/build.sh"
cd "$top"
profile=${TASKHOST_PROFILE:-release}
exec "target/${profile/#dev/debug}/taskhost" demo \
    --data-file examples/data/stream.ndjson --task-types target/task-types "$@"
