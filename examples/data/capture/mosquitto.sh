#!/bin/bash
# Mosquitto (MQTT broker) log of all message types, epoch seconds in front.
. "$(dirname "$0")/common.sh"
d=$LAB/mosquitto; rm -rf "$d"; mkdir -p "$d"; chmod a+rx "$LAB"; chown mosquitto "$d"
for u in sensor panel; do mosquitto_passwd -b $([ -f "$d/users" ] || echo -c) "$d/users" $u lab; done
printf '%s\n' 'user sensor' 'topic write plant/#' 'user panel' 'topic read plant/#' >"$d/acl"
cat >"$d/mosquitto.conf" <<CONF
listener 11883 127.0.0.1
user mosquitto
password_file $d/users
acl_file $d/acl
log_dest file $d/broker.log
log_type all
persistence true
persistence_location $d/
autosave_interval 10
CONF
chown mosquitto "$d"/*
mosquitto -c "$d/mosquitto.conf" 2>/dev/null & pid=$!
port_up 11883
at="-h 127.0.0.1 -p 11883"
for i in $(seq 8); do
  timeout 45 mosquitto_sub $at -u panel -P lab -i "panel-$i" -k 5 -q $((i % 3)) -t "plant/hall$i/#" -t plant/alarm >/dev/null 2>&1 &
done
for i in $(seq 85); do
  mosquitto_pub $at -u sensor -P lab -i "sensor-$((i % 17))" -q $((i % 3)) -t "plant/hall$((i % 9))/temp" -m "$((RANDOM % 60)).5" 2>/dev/null
  case $((i % 10)) in
    0) mosquitto_pub $at -u sensor -P bad -i "sensor-$i" -t plant/x -m 1 2>/dev/null ;;
    3) mosquitto_pub $at -u panel -P lab -i "panel-w$i" -q 1 -t plant/hall1/set -m on 2>/dev/null ;;
    5) mosquitto_pub $at -i "guest-$i" -t plant/x -m 1 2>/dev/null ;;
    7) echo junk >/dev/tcp/127.0.0.1/11883 ;;
    8) mosquitto_pub $at -u sensor -P lab -i "gate-$i" -q 1 -r -t plant/alarm --will-topic plant/gone --will-payload x -m "door $i" 2>/dev/null ;;
  esac
  sleep 0.3
done
stop $pid; wait
keep mosquitto "$d/broker.log"
