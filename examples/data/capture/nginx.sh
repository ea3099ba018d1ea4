#!/bin/bash
# nginx access log, format "combined": a shop's pages, pictures, redirects, logins, scanners.
. "$(dirname "$0")/common.sh"
d=$LAB/nginx; rm -rf "$d"; mkdir -p "$d/www/static/css" "$d/www/static/js" "$d/www/static/img" "$d/www/products"
for w in lamp chair mirror rug sofa desk shelf stool vase clock frame basket blanket; do
  for n in $(seq 1 400 | grep -v 7); do
    head -c $((n * 7)) /dev/zero | tr '\0' p >"$d/www/products/$w-$n.html"
    head -c $((n * 31)) /dev/zero | tr '\0' i >"$d/www/static/img/${w}_$n.jpg"
  done
done
echo home >"$d/www/index.html"; echo css >"$d/www/static/css/site.css"; echo js >"$d/www/static/js/app.js"
for u in ada brook carl dana eli; do echo "$u:$(openssl passwd -apr1 lab)"; done >"$d/users"
cat >"$d/nginx.conf" <<CONF
worker_processes 1; pid $d/pid; error_log $d/error.log; daemon off;
events {}
http {
  access_log $d/access.log combined;
  client_body_temp_path $d/body; proxy_temp_path $d/p; fastcgi_temp_path $d/f;
  uwsgi_temp_path $d/u; scgi_temp_path $d/s;
  server {
    listen 127.0.0.1:18080; root $d/www;
    location /search { default_type text/html; return 200 "results for \$arg_q \$arg_page"; }
    location /cart/ { default_type application/json; return 200 "{\"ok\":true}"; }
    location /checkout { return 302 /account/; }
    location /old/ { return 301 /products\$uri; }
    location /account/ { auth_basic members; auth_basic_user_file $d/users; }
    location /health { return 204; }
  }
}
CONF
chmod a+rx "$LAB"; chmod -R a+rX "$d"
nginx -c "$d/nginx.conf" 2>/dev/null & pid=$!
port_up 18080 && python3 "$HERE/web.py" shop 127.0.0.1 18080 1400 1
stop $pid
keep nginx "$d/access.log"
