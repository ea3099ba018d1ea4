#!/usr/bin/env bash
# Shows the main job from end to end: starts a host on a temporary store, sends it the captured
# logs of examples/data, and finds the systems that wrote them.
#
#   examples/demo.sh           ends when it is done
#   examples/demo.sh --keep    leaves the host running until Ctrl-C
#   examples/demo.sh --elasticsearch
#                              the same on a real Elasticsearch, which it gets and starts (needs
#                              Java and Maven): two hosts, and a user who may read one index
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ $# -gt 1 && " $* " == *" --elasticsearch "* ]]; then
    echo "demo.sh: --elasticsearch stands alone: its server and its hosts end with it" >&2
    exit 2
fi
"$top/examples/build.sh"
cd "$top"
if [ "${1:-}" = --elasticsearch ]; then
    exec tests/elasticsearch/with.sh examples/demo-elasticsearch.sh
fi
profile=${TASKHOST_PROFILE:-release}
exec "target/${profile/#dev/debug}/taskhost" demo \
    --data-file examples/data/stream.ndjson --task-types target/task-types "$@"
