#!/bin/bash
# ZooKeeper: the log4j log of one server of an ensemble of three on loopback. The other two
# are stopped and started, so elections and Java stack traces (several lines) appear.
. "$(dirname "$0")/common.sh"
d=$LAB/zookeeper; rm -rf "$d"; mkdir -p "$d"
cat >"$d/log4j.properties" <<'CONF'
log4j.rootLogger=INFO, F
log4j.appender.F=org.apache.log4j.FileAppender
log4j.appender.F.File=${lab.log}
log4j.appender.F.layout=org.apache.log4j.PatternLayout
log4j.appender.F.layout.ConversionPattern=%d{ISO8601} - %-5p [%t:%C{1}@%L] - %m%n
CONF
for n in 1 2 3; do
  mkdir -p "$d/$n"; echo $n >"$d/$n/myid"
  cat >"$d/$n.cfg" <<CONF
tickTime=500
initLimit=6
syncLimit=4
dataDir=$d/$n
clientPort=2218$n
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=*
$(for p in 1 2 3; do echo "server.$p=127.0.0.1:1288$p:1388$p"; done)
CONF
done
zk() { # zk N - starts server N. Only a few system properties are logged, none of them ours.
  (cd / && exec env -i PATH=/usr/bin:/bin java -Xmx96m -XX:+UseSerialGC -Duser.home=/var/lib/zookeeper \
    -Dlab.log="$d/$1.log" -Dlog4j.configuration="file:$d/log4j.properties" \
    -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-log4j12.jar:/usr/share/java/log4j-1.2.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$d/$1.cfg" >"$d/$1.out" 2>&1) &
  zkpid[$1]=$!
}
zk 1; sleep 4; zk 2; sleep 3; zk 3
for n in 1 2 3; do port_up 2218$n; done; sleep 3
for round in $(seq 14); do
  for w in ruok srvr stat mntr conf cons isro wchs crst ruok srvr mntr stat dirs envi ruok mntr srvr hash gtmk; do
    (exec 3<>/dev/tcp/127.0.0.1/22181 && echo -n $w >&3 && timeout 2 cat <&3) >/dev/null 2>&1
  done
  printf 'GET / HTTP/1.0\r\n\r\n' 2>/dev/null >/dev/tcp/127.0.0.1/22181 # Not its protocol: a stack trace.
  printf '%s\n' "create /job$round x" "get /job$round" "delete /none" quit |
    timeout 20 java -Xmx64m -cp /usr/share/java/zookeeper.jar org.apache.zookeeper.ZooKeeperMain \
      -server 127.0.0.1:22181 >/dev/null 2>&1
  [ $((round % 3)) = 0 ] || continue
  away=$((round % 2 + 2)) # The leader in some rounds.
  stop "${zkpid[$away]}"; sleep 0.3
  [ $round = 9 ] && { stop "${zkpid[5 - away]}"; sleep 2; zk $((5 - away)); sleep 2; }
  zk $away; port_up 2218$away; sleep 2
done
stop "${zkpid[@]}"
keep zookeeper "$d/1.log"
