#!/bin/bash
# Redis server log at level verbose: clients, background saves, rewrites of the append-only
# file, a replica that comes and goes, a restart with data on disk.
. "$(dirname "$0")/common.sh"
d=$LAB/redis; rm -rf "$d"; mkdir -p "$d/replica"
start() {
  redis-server --port 16379 --bind 127.0.0.1 --dir "$d" --logfile "$d/server.log" --loglevel verbose \
    --save "1 20" --appendonly yes --repl-diskless-sync-delay 0 --maxclients 40 --maxmemory 3mb & pid=$!
  port_up 16379
}
c() { redis-cli -p 16379 "$@" >/dev/null 2>&1; }
start
for i in $(seq 58); do
  redis-benchmark -p 16379 -q -n 60 -c 2 -t set -r 500 -d 100 >/dev/null 2>&1
  c client no-touch; c hset "user:$i" name "u$i" visits "$i"
  case $((i % 10)) in
    1) c config set maxmemory-policy allkeys-lru ;;
    2) c bgrewriteaof ;;
    3) redis-server --port 16380 --bind 127.0.0.1 --dir "$d/replica" --replicaof "127.0.0.1 16379" --logfile "$d/replica/log" & rep=$!
      port_up 16380; sleep 1.5; stop $rep ;;
    4) printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >/dev/tcp/127.0.0.1/16379 ;; # Redis takes it for an attack.
    5) c bgsave ;;
    6) c flushall ;;
    7) c debug sleep 0.1; c client kill type normal ;;
    9) stop $pid; start ;;
  esac
  sleep 0.8
done
stop $pid
keep redis "$d/server.log"
