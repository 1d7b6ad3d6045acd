#!/usr/bin/env bash
# Runs examples/five-sites before real servers: Node's ws, Python's websockets
# and nginx. A page in headless Chromium opens a socket to each of the five, has
# it echo and closes it with 1000; over TLS if the example has it.
#
# Needs go, openssl, curl, nginx, python3 with websockets, node with ws (npm
# install fetches it), chromium. WS_MODULES names a node_modules with ws.
set -euo pipefail
cd "$(dirname "$0")/.."
example=$PWD/examples/five-sites

missing=()
for tool in go openssl curl nginx node chromium; do
  command -v $tool >/dev/null || missing+=("$tool")
done
python=$(for p in /usr/bin/python3 python3; do "$p" -c 'import websockets' 2>/dev/null && echo "$p" && break; done || true)
[[ -n $python ]] || missing+=("python3 with websockets (Debian: python3-websockets)")
[[ -n ${WS_MODULES:-} ]] || command -v npm >/dev/null || missing+=("npm, or WS_MODULES")
if ((${#missing[@]})); then
  printf 'five-sites: missing: %s\n' "${missing[@]}" >&2
  exit 2
fi

dir=$(mktemp -d)
pids=()
finish() {
  status=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ((status == 0)) && rm -rf "$dir" || echo "five-sites: what was written is in $dir" >&2
}
trap finish EXIT
run() { # run NAME COMMAND...: in the background, output in NAME.log
  "${@:2}" >"$dir/$1.log" 2>&1 &
  pids+=($!)
}
fail() { echo "five-sites: $*" >&2; exit 1; }

# Ports of this run in place of those of the example.
base=$((20000 + RANDOM % 10000))
http=$base https=$((base + 1)) s=s
grep -q 'tls:' "$example/holdfast.yaml" || { s= https=$http; }
app=$((base + 2)) admin=$((base + 9))
port() { echo $((base + 2 + $1)); } # of the n-th service
edits=(-e "s/\":80\"/\"127.0.0.1:$http\"/" -e "s/\":443\"/\"127.0.0.1:$https\"/" -e "s/redirect_https: 443/redirect_https: $https/" -e "s/127.0.0.1:3000/127.0.0.1:$app/")
for n in 1 2 3 4 5; do edits+=(-e "s/127.0.0.1:808$n/127.0.0.1:$(port $n)/"); done
sed "${edits[@]}" "$example/holdfast.yaml" >"$dir/holdfast.yaml"
echo "admin: {address: \"127.0.0.1:$admin\"}" >>"$dir/holdfast.yaml"
sed "${edits[@]}" "$example/nginx.conf" >"$dir/nginx.conf"
cp "$example/page.html" "$dir"
mkdir "$dir/tmp" "$dir/profile"
# nginx's workers give root up and read the page all the same.
chmod 755 "$dir"; chmod 777 "$dir/tmp"; chmod 644 "$dir/page.html"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$dir/site.key" -out "$dir/site.crt" 2>/dev/null
chmod 600 "$dir/site.key"

modules=${WS_MODULES:-}
if [[ -z $modules ]]; then
  (cd "$dir" && npm install --silent --no-audit --no-fund ws@8)
  modules=$dir/node_modules
fi
mkdir -p "$dir/node" && cp "$example/servers.mjs" "$dir/node" && ln -sfn "$modules" "$dir/node/node_modules"
go build -o "$dir/holdfast" ./cmd/holdfast

run node node "$dir/node/servers.mjs" "$(port 1)" "$(port 3)"
run python "$python" "$example/servers.py" "$(port 2)" "$(port 4)" "$(port 5)"
run nginx nginx -p "$dir" -c nginx.conf -e error.log
for _ in $(seq 100); do
  "$dir/holdfast" check --config "$dir/holdfast.yaml" --connect >"$dir/check.log" 2>&1 && break
  sleep 0.1
done
cat "$dir/check.log"
"$dir/holdfast" check --config "$dir/holdfast.yaml" --connect >/dev/null || fail "not all servers are up"
run holdfast "$dir/holdfast" serve --config "$dir/holdfast.yaml"
for _ in $(seq 100); do
  curl -fs "http://127.0.0.1:$admin/api/v1/pools" 2>/dev/null | grep -q '"usable":0' || { curl -fs "http://127.0.0.1:$admin/readyz" >/dev/null && break; }
  sleep 0.1
done

echo
if [[ -n $s ]]; then
  echo "== redirect"
  curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' "http://localhost:$http/old?x=1" | tee "$dir/redirect"
  grep -qx "308 https://localhost:$https/old?x=1" "$dir/redirect" || fail "the redirect to HTTPS is wrong"
fi
echo "== the application's own redirect, with its address brought back to the public one"
curl -sk -o /dev/null -w '%{http_code} %{redirect_url}\n' "http$s://localhost:$https/old" | tee "$dir/redirect"
grep -qx "302 http$s://localhost:$https/" "$dir/redirect" || fail "ProxyPassReverse's counterpart is wrong"
for site in chat data game iot notify; do
  echo "== test-socket ws$s://localhost/$site"
  "$dir/holdfast" test-socket "ws$s://localhost:$https/$site" --insecure --admin "127.0.0.1:$admin"
done

echo "== Chromium"
run chromium chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
  --disable-component-update --disable-sync --ignore-certificate-errors --user-data-dir="$dir/profile" \
  --remote-debugging-port=0 "http$s://localhost:$https/"
for _ in $(seq 300); do
  [[ -s $dir/report.log ]] && break
  sleep 0.1
done
[[ -s $dir/report.log ]] || fail "the page has reported nothing"
tr '?&' '\n\n' <"$dir/report.log" | sed 1d
for site in chat data game iot notify; do
  grep -q "$site=text-bytes-1000-clean" "$dir/report.log" || fail "$site: no clean echo"
done
grep -q "page=http$s:" "$dir/report.log" || fail "the page did not come over http$s"
echo "five-sites: all five echo over ws$s and close with 1000"
