#!/bin/bash
# Captures all sources again, on Debian 12 as root: installs the programs, runs each on
# loopback, makes them talk, stops them, then mixes the stream. Takes about five minutes.
# `capture.sh NAME...` captures only those sources.
. "$(dirname "$0")/capture/common.sh"
all="dpkg syslog zookeeper apache nginx caddy squid haproxy postgresql redis mosquitto memcached"
packages="nginx-light apache2 apache2-utils caddy squid haproxy postgresql redis-server memcached mosquitto
  mosquitto-clients zookeeper openssh-server openssh-client sshpass rsyslog cron sudo dnsmasq openssl"

# Packages must not start their own daemons beside ours.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
say "installing"
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-upgrade -o DPkg::Lock::Timeout=300 \
  install $packages >/dev/null 2>&1 || { say "packages could not be installed"; exit 1; }

mkdir -p "$LAB" "$SOURCES"
failed=0 running=()
for name in ${*:-$all}; do
  say "capturing $name"
  # In a session of its own: some of the programs signal their whole process group.
  setsid bash "$HERE/$name.sh" & running+=($!)
  [ $((${#running[@]} % 4)) = 0 ] && sleep 20 # Not all at once.
done
for pid in "${running[@]}"; do wait "$pid" || failed=1; done
[ $failed = 0 ] || { say "a capture failed; its raw logs are in $LAB"; exit 1; }
rm -rf "$LAB"
python3 "$HERE/../mix.py"
