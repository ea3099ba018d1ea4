#!/bin/bash
# HAProxy log through an rsyslogd of its own (syslog header, this host's name): HTTP and TCP
# log lines, servers that go down and come back, refused and queued requests.
. "$(dirname "$0")/common.sh"
d=$LAB/haproxy; rm -rf "$d"; mkdir -p "$d"
cat >"$d/rsyslog.conf" <<CONF
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$d/log.sock")
local0.* action(type="omfile" file="$d/haproxy.log" template="RSYSLOG_TraditionalFileFormat")
CONF
cat >"$d/haproxy.cfg" <<CONF
global
  log $d/log.sock local0
  maxconn 200
defaults
  log global
  mode http
  option httplog
  option dontlognull
  timeout connect 500ms
  timeout client 3s
  timeout server 300ms
  retries 1
frontend web
  bind 127.0.0.1:18082
  capture request header User-Agent len 40
  http-request deny if { path_beg /blocked }
  use_backend static if { path_beg /static }
  use_backend dead if { path_beg /api/v2/items }
  default_backend api
frontend raw
  mode tcp
  option tcplog
  bind 127.0.0.1:18092
  default_backend raw_api
backend api
  balance roundrobin
  server app1 127.0.0.1:18095 check inter 500ms fall 2 rise 2
  server app2 127.0.0.1:18096 check inter 500ms fall 2 rise 2 maxconn 3
backend static
  server files 127.0.0.1:18095
backend dead
  server gone 127.0.0.1:9
backend raw_api
  mode tcp
  server app1 127.0.0.1:18095
CONF
rsyslogd -n -f "$d/rsyslog.conf" -i "$d/rsyslog.pid" & log=$!
for _ in $(seq 50); do [ -S "$d/log.sock" ] && break; sleep 0.1; done
python3 "$HERE/web.py" backend 18095 & one=$!
python3 "$HERE/web.py" backend 18096 & two=$!
port_up 18095; port_up 18096
haproxy -db -f "$d/haproxy.cfg" >/dev/null 2>&1 & pid=$!
port_up 18082
for round in $(seq 6); do
  python3 "$HERE/web.py" api 127.0.0.1 18092 50 $((40 + round)) & raw=$!
  python3 "$HERE/web.py" api 127.0.0.1 18082 90 $((20 + round))
  stop $two # The second server is away for half of each round.
  python3 "$HERE/web.py" api 127.0.0.1 18082 90 $((30 + round))
  python3 "$HERE/web.py" backend 18096 & two=$!
  port_up 18096; wait $raw
done
stop $pid $one $two; sleep 1; stop $log
keep haproxy "$d/haproxy.log"
