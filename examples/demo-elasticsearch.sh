#!/usr/bin/env bash
# What `examples/demo.sh --elasticsearch` shows, beside a server that tests/elasticsearch/with.sh
# has started: two hosts on one store, and a user who may read one index.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
profile=${TASKHOST_PROFILE:-release}
taskhost="$top/target/${profile/#dev/debug}/taskhost"
url=$TASKHOST_ELASTICSEARCH_URL
folder=$(mktemp -d "${TMPDIR:-/tmp}/taskhost-demo-XXXXXX")
hosts=()
trap clean_up EXIT
trap 'exit 130' INT TERM

# Ends the hosts that are still there, and removes what they have written.
clean_up() {
    local host
    for host in ${hosts[@]+"${hosts[@]}"}; do
        kill "$host" 2>/dev/null || true
        wait "$host" 2>/dev/null || true
    done
    rm -rf "$folder"
}

random() {
    head -c 32 /dev/urandom | base64
}

# as_superuser METHOD PATH [CURL OPTIONS]: asks Elasticsearch; its answer only where it refuses.
as_superuser() {
    local method=$1 path=$2 said
    shift 2
    # The password is in no argument, which others on the machine could see.
    local user="$TASKHOST_ELASTICSEARCH_USERNAME:$TASKHOST_ELASTICSEARCH_PASSWORD"
    said=$(curl -sS --fail-with-body -X "$method" -H content-type:application/json "$url$path" \
        --config <(echo "user = \"$user\"") "$@") || {
        echo "Elasticsearch refuses $method $path: $said" >&2
        exit 1
    }
    ! grep -q '"errors":true' <<<"$said" || {
        echo "Elasticsearch has not taken all of it: ${said:0:300}" >&2
        exit 1
    }
}

# start_host NAME: in the background; where it listens stands in $folder/NAME.out.
start_host() {
    local out="$folder/$1.out"
    : >"$out"
    "$taskhost" serve --listen 127.0.0.1:0 --data "$folder/$1" --task-types target/task-types \
        --store elasticsearch --elasticsearch-url "$url" >"$out" 2>"$folder/$1.log" &
    hosts+=($!)
    for _ in $(seq 600); do
        ! grep -q '^listening on ' "$out" || return 0
        kill -0 "${hosts[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "The host \`$1\` did not start:" >&2
    tail -n 20 "$folder/$1.log" >&2
    exit 1
}

address() {
    sed -n 's/^listening on //p' "$folder/$1.out"
}

echo "Elasticsearch runs at $url"
echo "Writing examples/data/stream.ndjson into the index \`logs-demo\` …"
as_superuser PUT /logs-demo --data '{"mappings": {"properties":
    {"@timestamp": {"type": "date"}, "message": {"type": "text"}}}}'
sed 's/^/{"create":{}}\n/' examples/data/stream.ndjson >"$folder/bulk"
as_superuser POST '/logs-demo/_bulk?refresh=true&filter_path=errors' --data-binary "@$folder/bulk"
echo "$(wc -l <examples/data/stream.ndjson) documents are in the index."

echo "Starting two hosts on that store …"
TASKHOST_KEY=$(random)
export TASKHOST_KEY
start_host one
start_host two
echo "They listen on $(address one) and $(address two)"

echo "Making the user \`ada\`: operator of the space \`default\`, reader of \`logs-demo\` …"
password=$(random)
as_superuser PUT /_security/role/demo --data '{
    "indices": [{"names": ["logs-demo"], "privileges": ["read", "view_index_metadata"]}],
    "applications": [{"application": "taskhost", "privileges": ["operator"],
        "resources": ["space:default"]}]}'
printf '{"password": "%s", "roles": ["demo"]}' "$password" >"$folder/ada"
as_superuser PUT /_security/user/ada --data "@$folder/ada"
unset TASKHOST_KEY TASKHOST_ELASTICSEARCH_USERNAME TASKHOST_ELASTICSEARCH_PASSWORD
export TASKHOST_USERNAME=ada TASKHOST_PASSWORD="$password"

type=streams_feature_identification
task=${type}_logs-demo
echo "ada schedules \`$task\` over the first host …"
"$taskhost" schedule "$type" --id "$task" --stream logs-demo --url "$(address one)" \
    --params '{"start": 0, "end": 4102444800000}'
echo "and watches it over the second:"
"$taskhost" watch "$task" --url "$(address two)" >"$folder/watched"
sed -n '/{$/q;p' "$folder/watched"
echo "The systems that write into \`logs-demo\`:"
awk '/^ +"confidence": / { confidence = $2 + 0 }
    /^ +"count": / { count = $2 + 0 }
    /^ +"name": / {
        sub(/^ +"name": "/, ""); sub(/",$/, "")
        printf "  %-40s %5d documents, confidence %3d\n", $0, count, confidence
    }' "$folder/watched"
"$taskhost" acknowledge "$task" --url "$(address two)" >"$folder/acknowledged"
echo "The task is acknowledged."
for number in 0 1; do
    kill "${hosts[$number]}"
    wait "${hosts[$number]}"
done
hosts=()
echo "The hosts are stopped; Elasticsearch and everything in it goes now."
