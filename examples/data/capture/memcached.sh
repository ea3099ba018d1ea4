#!/bin/bash
# memcached -vv: its stderr, lines without any time stamp.
. "$(dirname "$0")/common.sh"
d=$LAB/memcached; rm -rf "$d"; mkdir -p "$d"
memcached -l 127.0.0.1 -p 21211 -u nobody -m 16 -vv >"$d/out.log" 2>&1 & pid=$!
port_up 21211
python3 - <<'PY'
import random, socket
r = random.Random(5)
for client in range(70):
    s = socket.create_connection(("127.0.0.1", 21211))
    s.settimeout(5)
    for _ in range(r.randrange(3, 9)):
        key = f"{r.choice(['session', 'cart', 'page', 'user'])}:{r.randrange(60)}"
        value = "v" * r.randrange(1, 200)
        ask = r.choice([f"set {key} 0 {r.choice([0, 60, 3600])} {len(value)}\r\n{value}", f"get {key}", f"get {key}",
                        f"add {key} 0 0 1\r\n1", f"incr {key} 1", f"delete {key}", f"touch {key} 30",
                        f"gets {key} page:1 user:2", "version", f"decr {key} 2", "bogus command", f"append {key} 0 0 1\r\n2"])
        s.sendall(ask.encode() + b"\r\n")
        s.recv(65536)
    s.sendall(b"quit\r\n")
    s.close()
PY
stop $pid
keep memcached "$d/out.log"
