#!/bin/bash
# The syslog of one machine: one file into which rsyslogd writes what sshd, cron, su, sudo,
# useradd and its kin, and dnsmasq send to /dev/log. The users exist only during the capture.
. "$(dirname "$0")/common.sh"
d=$LAB/syslog; rm -rf "$d"; mkdir -p "$d"; cd / || exit 1
[ -e /dev/log ] && { say "/dev/log is in use: a syslog daemon runs here already"; exit 1; }
users="ada brook carl dana eli fay"
for u in $users; do id "$u" >/dev/null 2>&1 && { say "user $u exists already"; exit 1; }; done
cat >"$d/rsyslog.conf" <<CONF
module(load="imuxsock")
*.* action(type="omfile" file="$d/syslog.log" template="RSYSLOG_TraditionalFileFormat")
CONF
rsyslogd -n -f "$d/rsyslog.conf" -i "$d/rsyslog.pid" & log=$!
cleanup() {
  for u in $users; do crontab -r -u "$u" 2>/dev/null; userdel -f "$u" 2>/dev/null; done
  groupdel staffers 2>/dev/null
  stop ${cron:-} ${sshd:-} ${dns:-}; sleep 1; stop $log; rm -f /dev/log
}
trap cleanup EXIT
for _ in $(seq 50); do [ -S /dev/log ] && break; sleep 0.1; done

pass=$(openssl rand -hex 12) # Of this capture only; it never reaches a log.
groupadd staffers
for u in $users; do
  useradd -M -s /bin/sh "$u"; echo "$u:$pass" | chpasswd; usermod -aG staffers "$u"
done
for u in $users; do
  printf '* * * * * /usr/bin/true %s\n* * * * * echo rotated\n*/2 * * * * test -d /var/spool\n' "$u" | crontab -u "$u" -
done
cron -f & cron=$!

ssh-keygen -q -t ed25519 -N '' -f "$d/host"; ssh-keygen -q -t ed25519 -N '' -C lab -f "$d/key"
mkdir -p /run/sshd; cp "$d/key.pub" "$d/authorized"; chmod 644 "$d/authorized"; chmod a+rx "$LAB" "$d"
cat >"$d/sshd_config" <<CONF
ListenAddress 127.0.0.1
Port 12222
HostKey $d/host
PidFile $d/sshd.pid
AuthorizedKeysFile $d/authorized
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
DenyUsers fay
MaxAuthTries 3
PrintMotd no
CONF
/usr/sbin/sshd -D -f "$d/sshd_config" & sshd=$!
port_up 12222
opt="-p 12222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10"
pw="-o PubkeyAuthentication=no -o NumberOfPasswordPrompts=2"
login() { # login N - one visit from an address of its own
  local u; u=$(shuf -n 1 -e ada brook carl dana eli)
  local from="-b 127.0.0.$(($1 % 200 + 2))"
  case $(($1 % 8)) in
    0|1|2) ssh $opt $from -i "$d/key" -o IdentitiesOnly=yes "$u@127.0.0.1" true ;;
    3) sshpass -p "$pass" ssh $opt $from $pw "$u@127.0.0.1" true ;;
    4) sshpass -p wrong ssh $opt $from $pw "$u@127.0.0.1" true ;;
    5) sshpass -p wrong ssh $opt $from $pw "$(shuf -n 1 -e admin test oracle guest ubuntu pi)@127.0.0.1" true ;;
    6) sshpass -p wrong ssh $opt $from $pw "$(shuf -n 1 -e root fay)@127.0.0.1" true ;;
    7) printf 'GET / HTTP/1.0\r\n\r\n' >/dev/tcp/127.0.0.1/12222 ;;
  esac >/dev/null 2>&1 </dev/null
}
dnsmasq -k -p 15353 -i lo -z -h -R -C /dev/null --log-queries --pid-file="$d/dns.pid" \
  --address=/lab.example/127.0.0.7 --host-record=printer.office.example,127.0.0.9 \
  --cname=print.office.example,printer.office.example --local=/office.example/ & dns=$!
sleep 1
python3 - <<'PY' & ask=$!
import random, socket, time
r = random.Random(6)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
for i in range(40):
    name = r.choice(["www.lab.example", "db.lab.example", "printer.office.example", "print.office.example",
                     f"pc{i}.office.example", "news.example", "1.0.0.127.in-addr.arpa"])
    kind = 12 if name.endswith("arpa") else r.choice([1, 1, 28, 15])
    s.sendto(i.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + b"".join(
        bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + kind.to_bytes(2, "big") + b"\0\1",
        ("127.0.0.1", 15353))
    s.recv(512)
    time.sleep(1.2)
PY

for i in $(seq 72); do
  login "$i" & visits+=($!)
  sleep 0.8
  [ $((i % 13)) = 0 ] && { kill -HUP $sshd; sleep 0.5; }
  case $((i % 6)) in
    0) su ada -c true ;;
    1) sudo -u brook /usr/bin/true ;;
    2) echo wrong | su ada -c "su carl -c true" >/dev/null 2>&1 ;;
    3) su dana -c "sudo -n /usr/bin/id" >/dev/null 2>&1 ;;
    4) usermod -c "Temp $i" eli; passwd -q -l eli; passwd -q -u eli ;;
    5) useradd -M "tmp$i"; chage -M 90 "tmp$i"; gpasswd -a "tmp$i" staffers >/dev/null; userdel "tmp$i" ;;
  esac
done
wait "${visits[@]}" $ask

cleanup; trap - EXIT
keep syslog "$d/syslog.log"
