#!/bin/bash
# Caddy: its one JSON log with the access entries of a reverse proxy and the server's own
# messages. Request headers are left out (format filter) to keep the lines short.
. "$(dirname "$0")/common.sh"
d=$LAB/caddy; rm -rf "$d"; mkdir -p "$d"
python3 "$HERE/web.py" backend 18093 & back=$!
cat >"$d/Caddyfile" <<CONF
{
  admin off
  auto_https off
  log default {
    output file $d/caddy.log
    level INFO
    format filter {
      wrap json
      fields {
        request>headers delete
        resp_headers delete
      }
    }
  }
}
http://127.0.0.1:18083 {
  bind 127.0.0.1
  log
  respond /blocked/* 403
  reverse_proxy /api/v2/items/* 127.0.0.1:9
  reverse_proxy 127.0.0.1:18093
}
CONF
XDG_DATA_HOME=$d XDG_CONFIG_HOME=$d HOME=$d caddy run --config "$d/Caddyfile" --adapter caddyfile 2>/dev/null & pid=$!
port_up 18093; port_up 18083 && python3 "$HERE/web.py" api 127.0.0.1 18083 1200 3
stop $pid $back
keep caddy "$d/caddy.log"
