"""Web traffic for the captures: `web.py PROFILE HOST PORT COUNT SEED`, or `web.py backend PORT`.

One client, many loopback addresses (127.0.0.0/8), so that the logs have different clients.
Only the standard library is used.
"""
import base64, http.client, random, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "curl/7.88.1", "python-requests/2.31.0", "Go-http-client/1.1", "kube-probe/1.29",
]
WORDS = "lamp chair mirror rug sofa desk shelf stool vase clock frame basket blanket pillow kettle".split()
PACE = 0.05  # Mean seconds between two requests: real logs are spread over time.
USERS = "ada brook carl dana eli fay gus hana ivo june".split()

def shop(r):
    n, w = r.randrange(1, 400), r.choice(WORDS)
    return r.choices([
        ("GET", "/"), ("GET", f"/products/{w}-{n}.html"), ("GET", f"/static/img/{w}_{n}.jpg"),
        ("GET", "/static/css/site.css"), ("GET", "/static/js/app.js"),
        ("GET", f"/search?q={w}&page={r.randrange(1, 9)}"), ("POST", "/cart/add"), ("POST", "/checkout"),
        ("GET", f"/old/{w}"), ("GET", "/account/"), ("HEAD", "/health"), ("GET", "/wp-login.php"),
        ("GET", "/robots.txt"), ("GET", "/favicon.ico"), ("DELETE", f"/cart/{n}"),
    ], [8, 14, 12, 6, 6, 8, 4, 2, 4, 3, 4, 2, 1, 3, 1])[0]

def wiki(r):
    n, w = r.randrange(1, 400), r.choice(WORDS)
    return r.choices([
        ("GET", f"/wiki/{w.title()}_{n}"), ("GET", f"/uploads/{w}-{n}.png"), ("GET", "/private/"),
        ("GET", f"/members/{w}.html"), ("GET", "/cgi-bin/report"), ("GET", "/cgi-bin/broken"),
        ("GET", f"/cgi-bin/{w}.pl"), ("GET", "/listing/"), ("GET", f"/upstream/{w}?id={n}"),
        ("POST", "/small"), ("GET", "/%2e%2e/%2e%2e/etc/passwd"), ("GET", f"/rewrite/{w}"), ("GET", "/.htaccess"),
        ("GET", "/loop/a"), ("GET", "/" + "x" * 300),
    ], [16, 10, 8, 22, 10, 5, 6, 8, 8, 6, 4, 6, 4, 2, 2])[0]

def api(r):
    n, w = r.randrange(1, 9000), r.choice(WORDS)
    return r.choices([
        ("GET", f"/api/v1/orders/{n}"), ("POST", "/api/v1/orders"), ("PUT", f"/api/v1/stock/{w}"),
        ("GET", f"/api/v2/users/{r.choice(USERS)}"), ("GET", f"/error/{r.choice([400, 404, 409, 500, 503])}"),
        ("GET", "/slow"), ("GET", "/metrics"), ("PATCH", f"/api/v2/items/{n}"), ("GET", f"/blocked/{w}"),
        ("GET", "/static/logo.svg"),
    ], [14, 6, 6, 8, 5, 2, 4, 4, 3, 4])[0]

HOSTS = "intranet files intranet mirror files mirror ads".split() + ["news"]

def proxy(r):
    """Absolute URLs for a forward proxy; the names are in the proxy's own hosts file."""
    host = r.choice(HOSTS) + ".example"
    method, path = api(r)
    if r.random() < 0.35:
        path = f"/cache/{r.choice(WORDS)}.tar.gz"
        method = "GET"
    port = 9 if r.random() < 0.03 else int(BACKEND)
    return method, f"http://{host}:{port}{path}"

def run(profile, host, port, count, seed):
    r = random.Random(seed)
    for _ in range(count):
        time.sleep(r.expovariate(1 / PACE))
        method, url = profile(r)
        head = {"User-Agent": r.choice(AGENTS), "Accept": "*/*"}
        if r.random() < 0.4:
            head["Referer"] = f"https://www.example.com/{r.choice(WORDS)}"
        body = ("x=1&" * r.choice([2, 20, 400])) if method in ("POST", "PUT", "PATCH") else None
        if r.random() < 0.5:
            user, good = r.choice(USERS), r.random() < 0.6
            token = base64.b64encode(f"{user}:{'lab' if good else 'wrong'}".encode()).decode()
            head["Proxy-Authorization" if profile is proxy else "Authorization"] = "Basic " + token
        source = (f"127.0.{r.randrange(0, 4)}.{r.randrange(2, 250)}", 0)
        try:
            if profile is proxy and r.random() < 0.12:
                s = socket.create_connection((host, port), 10, source)
                auth = head.get("Proxy-Authorization", "")
                s.sendall(f"CONNECT intranet.example:{BACKEND} HTTP/1.1\r\nProxy-Authorization: {auth}\r\n\r\n".encode())
                s.recv(4096)
                s.close()
                continue
            if r.random() < 0.02:  # A broken request, as scanners send it.
                s = socket.create_connection((host, port), 10, source)
                s.sendall(r.choice([b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"HELP me\r\n\r\n",
                                    b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"]))
                s.settimeout(2)
                try:
                    s.recv(4096)
                finally:
                    s.close()
                continue
            c = http.client.HTTPConnection(host, port, timeout=10, source_address=source)
            c.request(method, url, body, head)
            c.getresponse().read()
            c.close()
        except (OSError, http.client.HTTPException):
            pass

class Backend(BaseHTTPRequestHandler):
    """What stands behind the proxies: sizes, codes and delays by path."""
    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(size)
        path = self.path
        code = int(path[7:10]) if path.startswith("/error/") else 201 if self.command == "POST" else 200
        time.sleep(0.4 if path == "/slow" else random.random() * 0.02)
        body = b"y" * random.randrange(20, 6000)
        self.send_response(code)
        if path.startswith("/cache/"):
            self.send_header("Cache-Control", "max-age=20")
            body = b"z" * 5000
        self.send_header("Content-Type", "application/gzip" if path.startswith("/cache/") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    def handle_error(self, *_):  # A proxy that hangs up early is part of the game.
        pass

if sys.argv[1] == "backend":
    Server(("127.0.0.1", int(sys.argv[2])), Backend).serve_forever()
else:
    BACKEND = sys.argv[6] if len(sys.argv) > 6 else "0"
    run(globals()[sys.argv[1]], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
