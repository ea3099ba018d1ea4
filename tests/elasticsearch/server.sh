#!/usr/bin/env bash
# A real Elasticsearch for tests, on a loopback port of its own, with security and API keys. Ends
# with 77 and a line that says what lacks, where Java or Maven is not there.
#
#   tests/elasticsearch/server.sh start FOLDER   a new folder; or a former one's data, on its port
#   tests/elasticsearch/server.sh stop FOLDER    orderly; `kill` for at once
#   tests/elasticsearch/server.sh kill FOLDER
#
# `start` answers when the server does. FOLDER/env then has, to be sourced:
#   TASKHOST_ELASTICSEARCH_URL, _USERNAME (a superuser) and _PASSWORD
# and FOLDER/pid the server's process group. What it says stands in FOLDER/server.log.
#
# TASKHOST_ELASTICSEARCH_JAVA_OPTS: options of its Java in place of -Xms512m -Xmx512m.
# TASKHOST_ELASTICSEARCH_DATA: an empty folder for its data, in place of FOLDER/data; for `start`.
#
# It is Elastic's own distribution for integration tests, from Maven Central: the server with the
# modules for transport and security. What `plugin/` adds is what API keys lack in it. Kept in the
# user's cache, one folder for each version of what stands here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=9.1.5
artifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip
zip_sha256=44d43090e4e17147500ed1601c1f5688ba9a4806c8111e2367f2953235335dd9
sum=$(cat "$here"/plugin/* <(echo "$zip_sha256 1") | sha256sum | cut -c 1-16)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/taskhost/elasticsearch"
kept="$cache/$version-$sum"

cannot() {
    echo "Elasticsearch is not there and cannot be started: $*" >&2
    exit 77
}

# The newest installed JDK that Elasticsearch 9 runs on (21 or later), as ES_JAVA_HOME.
find_java() {
    local home major
    for home in "${ES_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/* /opt/java/* /opt/jdk*; do
        [ -n "$home" ] && [ -x "$home/bin/javac" ] || continue
        major=$("$home/bin/javac" -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')
        if [[ "$major" =~ ^[0-9]+$ ]] && [ "$major" -ge 21 ]; then
            export ES_JAVA_HOME=$home
            return
        fi
    done
    cannot "there is no Java development kit of version 21 or later"
}

# Gets the server into $kept, with the plugin and the password of `elastic`; once.
prepare() {
    [ ! -d "$kept" ] || return 0
    local tool part
    for tool in mvn unzip; do
        command -v "$tool" >/dev/null || cannot "there is no $tool"
    done
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/part-XXXXXX")
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="$artifact" -DoutputDirectory="$part" >"$part/maven.log" 2>&1 ||
        cannot "Maven did not get $artifact ($(tail -n 1 "$part/maven.log"))"
    echo "$zip_sha256  $part/elasticsearch-$version.zip" | sha256sum --check --quiet >&2 ||
        cannot "what Maven got is not the server that was tried"
    unzip -q "$part/elasticsearch-$version.zip" -d "$part"
    local home="$part/elasticsearch-$version"
    local module="$home/modules/taskhost-analysis"
    mkdir -p "$module" "$part/classes"
    "$ES_JAVA_HOME/bin/javac" --release 21 -cp "$home/lib/*" -d "$part/classes" \
        "$here/plugin/AnalysisParts.java"
    "$ES_JAVA_HOME/bin/jar" --create --file "$module/taskhost-analysis.jar" -C "$part/classes" .
    cp "$here/plugin/plugin-descriptor.properties" "$module/"
    head -c 18 /dev/urandom | base64 | tr '/+' '-_' >"$home/password"
    "$home/bin/elasticsearch-keystore" create >/dev/null
    "$home/bin/elasticsearch-keystore" add -x -f bootstrap.password <"$home/password" >/dev/null
    # Another one may have been quicker.
    mv -T "$home" "$kept" 2>/dev/null || true
    rm -rf "$part"
}

# Makes a new folder: a copy of the server, with its configuration.
furnish() {
    local folder=$1
    mkdir -p "$folder/tmp"
    if [ -n "${TASKHOST_ELASTICSEARCH_DATA:-}" ]; then
        ln -s "$TASKHOST_ELASTICSEARCH_DATA" "$folder/data"
        [ "$(id -u)" != 0 ] || chown 65534:65534 "$TASKHOST_ELASTICSEARCH_DATA"
    else
        mkdir "$folder/data"
    fi
    cp -r "$kept" "$folder/home"
    cat >"$folder/home/config/elasticsearch.yml" <<YAML
cluster.name: taskhost-tests
discovery.type: single-node
http.host: 127.0.0.1
transport.host: 127.0.0.1
http.port: 19200-19399
transport.port: 19400-19599
path.data: $folder/data
path.logs: $folder/logs
xpack.security.enabled: true
xpack.security.authc.api_key.enabled: true
xpack.security.http.ssl.enabled: false
xpack.security.transport.ssl.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
# Each test has indices of its own.
cluster.max_shards_per_node: 5000
action.destructive_requires_name: false
YAML
}

start() {
    local folder=$1
    find_java
    if [ ! -d "$folder/home" ]; then
        prepare
        furnish "$folder"
    fi
    # Elasticsearch refuses to be root: it is nobody then, who owns the folder.
    local as=()
    if [ "$(id -u)" = 0 ]; then
        chmod 711 "$folder"
        chown -R 65534:65534 "$folder"
        as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    fi
    : >"$folder/server.log"
    export ES_JAVA_OPTS="${TASKHOST_ELASTICSEARCH_JAVA_OPTS:--Xms512m -Xmx512m}"
    (
        cd "$folder/tmp"
        # A process group of its own: `kill` ends the launcher and the server.
        HOME="$folder/tmp" ES_TMPDIR="$folder/tmp" setsid ${as[@]+"${as[@]}"} \
            "$folder/home/bin/elasticsearch" >"$folder/server.log" 2>&1 </dev/null &
        echo $! >"$folder/pid"
    )
    local password port code
    password=$(cat "$folder/home/password")
    for _ in $(seq 1200); do
        port=$(sed -nE "s/.*HttpServerTransport.*publish_address \{127.0.0.1:([0-9]+).*/\1/p" \
            "$folder/server.log" | head -n 1)
        if [ -n "$port" ]; then
            code=$(curl -s -o /dev/null -w '%{http_code}' -u "elastic:$password" \
                "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow" || true)
            [ "$code" != 200 ] || break
        fi
        alive "$folder" || fail "$folder" "it ended"
        sleep 0.1
    done
    [ "${code:-}" = 200 ] || fail "$folder" "it does not answer"
    # The same port again when it is started again.
    sed -i "s/^http.port:.*/http.port: $port/" "$folder/home/config/elasticsearch.yml"
    cat >"$folder/env" <<ENV
export TASKHOST_ELASTICSEARCH_URL=http://127.0.0.1:$port
export TASKHOST_ELASTICSEARCH_USERNAME=elastic
export TASKHOST_ELASTICSEARCH_PASSWORD=$password
ENV
}

fail() {
    tail -n 30 "$1/server.log" >&2
    echo "Elasticsearch did not start: $2" >&2
    end KILL "$1"
    exit 1
}

alive() {
    kill -0 -- "-$(cat "$1/pid")" 2>/dev/null
}

# end SIGNAL FOLDER: answers when every process of the server has ended.
end() {
    [ -f "$2/pid" ] || return 0
    kill "-$1" -- "-$(cat "$2/pid")" 2>/dev/null || return 0
    for _ in $(seq 600); do
        alive "$2" || return 0
        sleep 0.1
    done
    kill -KILL -- "-$(cat "$2/pid")" 2>/dev/null || true
}

command=${1:?start, stop or kill} folder=${2:?a folder}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
case "$command" in
    start) start "$folder" ;;
    stop) end TERM "$folder" ;;
    kill) end KILL "$folder" ;;
    *) echo "start, stop or kill" >&2; exit 2 ;;
esac
