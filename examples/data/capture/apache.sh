#!/bin/bash
# Apache httpd error log at level info: missing files, refused logins, denied directories,
# scripts that write to stderr, an upstream that is down, graceful restarts.
. "$(dirname "$0")/common.sh"
d=$LAB/apache; rm -rf "$d"; mkdir -p "$d/www/listing" "$d/www/private" "$d/www/members" "$d/cgi"
echo page >"$d/www/small"; htpasswd -bcm "$d/users" ada lab 2>/dev/null
for u in brook carl dana eli; do htpasswd -bm "$d/users" $u lab 2>/dev/null; done
cat >"$d/cgi/report" <<'CGI'
#!/bin/sh
echo "report: cannot open /var/spool/reports/$(date +%j): falling back to the cache" >&2
printf 'Content-Type: text/plain\r\n\r\nok\n'
CGI
printf '#!/bin/sh\necho "broken: division by zero at line 12" >&2\n' >"$d/cgi/broken"
chmod +x "$d/cgi/"*
m=/usr/lib/apache2/modules
cat >"$d/httpd.conf" <<CONF
ServerRoot $d
ServerName www.example.com
Listen 127.0.0.1:18081
PidFile $d/pid
DefaultRuntimeDir $d
User www-data
Group www-data
$(for x in mpm_prefork authn_core authn_file authz_core authz_user auth_basic alias cgi dir autoindex proxy proxy_http rewrite reqtimeout; do echo "LoadModule ${x}_module $m/mod_$x.so"; done)
StartServers 3
ErrorLog $d/error.log
LogLevel info
DocumentRoot $d/www
LimitRequestBody 1000
LimitRequestLine 280
ScriptAlias /cgi-bin/ $d/cgi/
ProxyPass /upstream/ http://127.0.0.1:9/ retry=1
RewriteEngine on
RewriteRule ^/rewrite/(.*) /wiki/\$1 [PT]
<Directory $d/www>
  Require all granted
  Options -Indexes
  AllowOverride None
</Directory>
<Directory $d/cgi>
  Require all granted
</Directory>
<Directory $d/www/private>
  Require all denied
</Directory>
<Files ".ht*">
  Require all denied
</Files>
<Location /loop/>
  RewriteEngine on
  RewriteRule (.*) /loop/a [L]
</Location>
<Directory $d/www/members>
  AuthType Basic
  AuthName members
  AuthUserFile $d/users
  Require user ada brook
</Directory>
CONF
chmod a+rx "$LAB"; chmod -R a+rX "$d"
# In a session of its own: httpd signals its whole process group, which would be this script.
setsid apache2 -f "$d/httpd.conf" -DFOREGROUND 2>/dev/null & pid=$!
port_up 18081
for round in $(seq 10); do
  python3 "$HERE/web.py" wiki 127.0.0.1 18081 140 $((100 + round))
  kill -USR1 $pid; sleep 1
done
stop $pid
keep apache "$d/error.log"
