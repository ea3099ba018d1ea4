#!/usr/bin/env bash
# Runs a command beside a real Elasticsearch with nothing in it, which goes with the command:
#
#   tests/elasticsearch/with.sh COMMAND…
#
# The command finds it by TASKHOST_ELASTICSEARCH_URL, _USERNAME and _PASSWORD; its folder, for
# server.sh, by TASKHOST_ELASTICSEARCH_FOLDER. Ends as the command does, or with 77 where there is
# no Elasticsearch.
#
# Its data are in memory where the system has a folder there: tests compare answers, and make many
# indices, each of which is a handful of commits. With TASKHOST_ELASTICSEARCH_ON_DISK they are not.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/taskhost-elasticsearch-XXXXXX")
data=""
if [ -z "${TASKHOST_ELASTICSEARCH_ON_DISK:-}" ]; then
    data=$(mktemp -d /dev/shm/taskhost-elasticsearch-XXXXXX 2>/dev/null) || data=""
fi
trap '"$here/server.sh" kill "$folder"; rm -rf "$folder" ${data:+"$data"}' EXIT
export TASKHOST_ELASTICSEARCH_DATA="$data"
"$here/server.sh" start "$folder"
. "$folder/env"
export TASKHOST_ELASTICSEARCH_FOLDER="$folder"
"$@"
