#!/usr/bin/env bash
# Runs a command beside a real Elasticsearch with nothing in it, which goes with the command:
#
#   tests/elasticsearch/with.sh COMMAND…
#
# The command finds it by TASKHOST_ELASTICSEARCH_URL, _USERNAME and _PASSWORD; its folder, for
# server.sh, by TASKHOST_ELASTICSEARCH_FOLDER. Ends as the command does, or with 77 where there is
# no Elasticsearch.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/taskhost-elasticsearch-XXXXXX")
trap '"$here/server.sh" kill "$folder"; rm -rf "$folder"' EXIT
"$here/server.sh" start "$folder"
. "$folder/env"
export TASKHOST_ELASTICSEARCH_FOLDER="$folder"
"$@"
