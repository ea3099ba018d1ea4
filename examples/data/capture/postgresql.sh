#!/bin/bash
# PostgreSQL server log of a cluster of its own (Debian's prefix '%m [%p] %q%u@%d '):
# sessions, statements over several lines, constraint violations, deadlocks, failed logins.
. "$(dirname "$0")/common.sh"
d=$LAB/postgresql; rm -rf "$d"; mkdir -p "$d"; chmod a+rx "$LAB"; chown postgres "$d"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as="setpriv --reuid postgres --regid postgres --clear-groups"
cd "$d" || exit 1
$as "$bin/initdb" -D "$d/data" -U postgres -A trust >/dev/null
printf '%s\n' 'local all all trust' 'host all clerk 127.0.0.1/32 scram-sha-256' \
  'host all all 127.0.0.1/32 trust' >"$d/data/pg_hba.conf"
cat >>"$d/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = 15432
unix_socket_directories = '$d'
log_line_prefix = '%m [%p] %q%u@%d '
log_connections = on
log_disconnections = on
log_statement = 'mod'
log_min_duration_statement = 25
log_lock_waits = on
deadlock_timeout = 200ms
log_checkpoints = on
log_autovacuum_min_duration = 0
autovacuum_naptime = 5s
log_temp_files = 0
work_mem = 64kB
CONF
$as "$bin/postgres" -D "$d/data" 2>"$d/server.log" & pid=$!
port_up 15432
q() { psql -q -h 127.0.0.1 -p 15432 -U "${U:-app}" -d "${D:-shop}" "$@" >/dev/null 2>&1 </dev/null; }
U=postgres D=postgres q -c "create role app login superuser" -c "create role clerk login password 'lab'" \
  -c "create role report login" -c "create database shop owner app"
q -c "
create table customers (
  id int primary key,
  name text not null,
  email text unique
)" -c "create table orders (
  id serial primary key,
  customer int references customers,
  total numeric check (total >= 0)
)" -c "insert into customers select g, 'customer ' || g, 'c' || g || '@example.com' from generate_series(1, 5000) g"
for i in $(seq 36); do
  q -c "insert into orders (customer, total) values ($((RANDOM % 5000 + 1)), $((RANDOM % 900)))"
  q -c "update orders set total = total + 1 where id = $i" -c "delete from orders where id = $((i + 50))"
  q -c "insert into orders (customer, total) values (9$i$i$i, 10)"
  q -c "insert into customers (id, name) values ($i, 'again')"
  case $((i % 12)) in
    0) PGPASSWORD=wrong U=clerk q -c "select 1"; U=ghost q -c "select 1" ;;
    1) D=warehouse$i q -c "select 1" ;;
    2) U=report q -c "select * from customers" -c "delete from orders" ;;
    3) q -c "set statement_timeout = 50; select pg_sleep(1)" ;;
    4) q -c "select
  c.name,
  sum(o.total) as spent
from customers c
  join ordres o on o.customer = c.id
group by c.name" ;;
    5) q -c "select count(*) from (select md5(g::text) from generate_series(1, 60000) g order by 1) s" ;;
    6) # Two sessions take the same rows in opposite order.
      q -c "begin; update customers set name = 'x' where id = 1; select pg_sleep(0.4); update customers set name = 'x' where id = 2; commit" & one=$!
      q -c "begin; update customers set name = 'y' where id = 2; select pg_sleep(0.4); update customers set name = 'y' where id = 1; commit"
      wait $one ;;
    7) q -c "insert into orders (customer, total) values ($i, -$i)" ;;
    8) q -c "do \$\$
begin
  raise warning 'stock of item % is below %', $i, $((i * 3));
end
\$\$" -c "select 1 / 0" ;;
    9) q -c "update customers set name = name || '' where id % 3 = 0" -c "checkpoint" ;;
    10) q -c "selec 1" -c "select nosuch(1)" -c "select '12x'::int" ;;
    11) q -c "lock table orders; select pg_sleep(0.6)" & one=$!; sleep 0.1
      q -c "update orders set total = 0 where id = $i"; wait $one ;;
  esac
  [ $i = 20 ] && kill -HUP $pid
  sleep 0.3
done
kill -INT $pid; stop $pid
keep postgresql "$d/server.log"
