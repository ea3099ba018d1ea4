#!/bin/bash
# squid access log, native format: hits, misses, refused clients, logins, tunnels.
# Its hosts file knows a few .example names on loopback; no name server is asked.
. "$(dirname "$0")/common.sh"
d=$LAB/squid; rm -rf "$d"; mkdir -p "$d"
python3 "$HERE/web.py" backend 18094 & back=$!
for h in intranet files mirror ads; do echo "127.0.0.1 $h.example"; done >"$d/hosts"
echo "127.0.0.14 news.example" >>"$d/hosts" # Nothing listens there: 503 lines.
cat >"$d/squid.conf" <<CONF
http_port 127.0.0.1:13128
pid_filename $d/pid
hosts_file $d/hosts
access_log stdio:$d/access.log squid
cache_log $d/cache.log
cache_mem 16 MB
coredump_dir $d
pinger_enable off
shutdown_lifetime 1 seconds
visible_hostname proxy.example
dns_nameservers 127.0.0.1
auth_param basic program /usr/lib/squid/basic_fake_auth
acl known proxy_auth REQUIRED
acl ads dstdomain ads.example
acl guests src 127.0.3.0/24
http_access deny ads
http_access deny guests !known
http_access allow all
CONF
chown -R proxy "$d"; chmod a+rx "$LAB"
squid -N -f "$d/squid.conf" 2>/dev/null & pid=$!
port_up 18094; port_up 13128 && python3 "$HERE/web.py" proxy 127.0.0.1 13128 1400 4 18094
stop $pid $back
keep squid "$d/access.log"
