# Sourced by capture.sh and by every capture/NAME.sh.
# LAB holds all configuration, data and raw logs of one capture; it is deleted at the end.
set -u
export LAB=${LAB:-/srv/lab}
export LC_ALL=C.UTF-8 TZ=UTC
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCES=${SOURCES:-$HERE/../sources}
MIN=1000 MAX=1500

# say TEXT - progress on stderr.
say() { echo "[$(date +%T)] $*" >&2; }

# port_up PORT - waits up to 60 s until something listens on loopback.
port_up() {
  for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    sleep 0.2
  done
  say "nothing listens on port $1"; return 1
}

# stop PID... - ends exactly the processes this capture started, and waits for them.
stop() {
  kill "$@" 2>/dev/null
  for _ in $(seq 50); do kill -0 "$@" 2>/dev/null || return 0; sleep 0.2; done
  kill -9 "$@" 2>/dev/null
}

# keep NAME RAWLOG - writes sources/NAME.log: the lines exactly as the program wrote
# them, less empty and oversized lines (a stream document has neither), cut to MAX lines.
keep() {
  python3 - "$1" "$2" "$SOURCES/$1.log" $MIN $MAX <<'PY'
import sys
name, raw, out, lo, hi = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
text = open(raw, "rb").read().replace(b"\0", b"").decode("utf-8", "replace")
lines = [l.rstrip("\r") for l in text.split("\n")]
lines = [l for l in lines if l.strip() and len(l) <= 2000]
if len(lines) < lo:
    sys.exit(f"{name}: only {len(lines)} lines, at least {lo} are needed")
open(out, "w", encoding="utf-8", newline="\n").write("\n".join(lines[:hi]) + "\n")
print(f"{name}: kept {min(len(lines), hi)} of {len(lines)} lines", file=sys.stderr)
PY
}
