#!/bin/bash
# dpkg.log: installs, removes and purges small leaf packages. dpkg writes to its own log
# through --log, so that nothing else that happens on the machine is mixed in.
. "$(dirname "$0")/common.sh"
mkdir -p "$LAB"
log=$LAB/dpkg.log; : >"$log"
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::="--log=$log" "$@" </dev/null >/dev/null 2>&1
}
small="hello sl figlet toilet cowsay fortune-mod fortunes-min tree pv dos2unix moreutils ncdu
  cmatrix bsdgames rig units bc dc ed jp2a lolcat uuid-runtime time datamash miller gawk mawk
  nano joe zile tmux screen htop iotop-c sysstat dstat lsof socat netcat-openbsd whois telnet
  fping iperf3 mtr-tiny traceroute arping pigz lz4 zstd lzip lrzip cabextract unar p7zip
  xxd hexedit bvi par par2 rlwrap expect dialog whiptail ascii jo gron csvtool xmlstarlet
  catimg aview caca-utils ccze colordiff wdiff multitail entr inotify-tools"
# Only packages that exist and are absent: what the machine already had must stay as it was.
want=()
for p in $small; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q . && continue
  apt-cache show "$p" >/dev/null 2>&1 || continue
  # Nothing that upgrades or removes another package.
  apt-get -s --no-install-recommends install "$p" 2>/dev/null | grep -qE '^(Remv|Inst [^ ]+ \[)' && continue
  want+=("$p")
done
n=0
while [ $n -lt ${#want[@]} ] && [ "$(wc -l <"$log")" -lt 1000 ]; do
  batch=("${want[@]:$n:6}"); n=$((n + 6))
  apt install "${batch[@]}"
  apt remove "${batch[@]:0:2}"
  apt install --reinstall "${batch[@]:2:1}"
done
# Purge exactly what this log says was new. dpkg, unlike apt, refuses to take along
# a package of someone else that has come to depend on one of these.
mapfile -t added < <(awk '$3 == "install" && $5 == "<none>" { print $4 }' "$log" | sort -u)
dpkg --log="$log" --purge "${added[@]}" >/dev/null 2>&1
keep dpkg "$log"
