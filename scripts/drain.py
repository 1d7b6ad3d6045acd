#!/usr/bin/env python3
"""Drain one of four backends with thousands of sockets, and say what clients saw.

    go build -o holdfast ./cmd/holdfast && scripts/drain.py ./holdfast --sockets 5000

Backends and clients are of this process, on loopback; every client that reads a
Close connects again. It needs four descriptors a socket (ulimit -n) and nothing
but Python. The exit status is 1 unless every client of the drained backend has
read 1012, no other socket has ended, and the three others end within 5 %.
"""

import argparse
import asyncio
import base64
import bisect
import collections
import hashlib
import json
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: game.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WEB, ADMIN = 18090, 18091


class Backend(asyncio.Protocol):
    """Agrees to every handshake and answers a Close."""

    def __init__(self, counts, number):
        self.counts, self.number, self.head, self.open = counts, number, b"", False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.open:
            if data[:1] == b"\x88":
                self.transport.write(b"\x88\x02\x03\xe8")
                self.transport.close()
            return
        self.head += data
        if b"\r\n\r\n" not in self.head:
            return
        key = next(l for l in self.head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.open = True
        self.counts[self.number] += 1

    def connection_lost(self, error):
        if self.open:
            self.counts[self.number] -= 1


class Client(asyncio.Protocol):
    """Notes its Close, answers it and connects again."""

    def __init__(self, seen):
        self.seen, self.data, self.open = seen, b"", False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(HANDSHAKE)

    def data_received(self, data):
        self.data += data
        if not self.open:
            if b"\r\n\r\n" not in self.data:
                return
            head, self.data = self.data.split(b"\r\n\r\n", 1)
            if b" 101 " not in head[:20]:
                self.seen.codes["status " + head[9:12].decode()] += 1
                self.transport.close()
                return
            self.open = True
            self.seen.opened += 1
        if self.data[:1] == b"\x88":
            self.open = False
            self.seen.codes[int.from_bytes(self.data[2:4], "big")] += 1
            self.seen.closes.append(time.monotonic())
            self.transport.write(b"\x88\x82\0\0\0\0" + self.data[2:4])
            asyncio.get_running_loop().create_task(connect(self.seen))

    def connection_lost(self, error):
        if self.open:
            self.seen.codes["lost"] += 1


class Seen:
    def __init__(self):
        self.codes, self.closes, self.opened = collections.Counter(), [], 0


async def connect(seen):
    await asyncio.get_running_loop().create_connection(lambda: Client(seen), "127.0.0.1", WEB)


def configuration(ports, pace):
    backends = "".join(f'      - {{name: b{i + 1}, url: "http://127.0.0.1:{p}"}}\n' for i, p in enumerate(ports))
    return (
        f'admin: {{address: "127.0.0.1:{ADMIN}"}}\nlog: {{access: "off"}}\n'
        f'listeners: [{{name: web, address: "127.0.0.1:{WEB}"}}]\nroutes: [{{path: /, pool: web}}]\n'
        f"pools:\n  web:\n    drain: {{deadline: 30s, closes_per_second: {pace}}}\n    backends:\n{backends}"
    )


def ask(path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{ADMIN}{path}", method=method)
    return urllib.request.urlopen(request).read()


async def run(args):
    loop, seen, counts, ports = asyncio.get_running_loop(), Seen(), [0] * 4, []
    for i in range(4):
        server = await loop.create_server(lambda i=i: Backend(counts, i), "127.0.0.1", 0, backlog=1000)
        ports.append(server.sockets[0].getsockname()[1])
    file = pathlib.Path(tempfile.mkdtemp()) / "holdfast.yaml"
    file.write_text(configuration(ports[:1], args.pace))
    process = subprocess.Popen([args.program, "serve", "--config", str(file)], stderr=subprocess.DEVNULL)
    try:
        await asyncio.sleep(1)
        for i in range(0, args.sockets, 50):
            await asyncio.gather(*[connect(seen) for _ in range(min(50, args.sockets - i))])
        while seen.opened < args.sockets:
            await asyncio.sleep(0.1)
        file.write_text(configuration(ports, args.pace))
        process.send_signal(signal.SIGHUP)
        await asyncio.sleep(1)
        print("sockets before:", counts)
        began = time.monotonic()
        await loop.run_in_executor(None, ask, "/api/v1/pools/web/backends/b1/drain", "POST")
        while counts[0] > 0 and time.monotonic() - began < 60:
            await asyncio.sleep(0.2)
        took = time.monotonic() - began
        await asyncio.sleep(2)
        after = list(counts)
        drain = json.loads(ask("/api/v1/pools/web/backends/b1"))["drain"]
    finally:
        process.terminate()
        process.wait(60)
    codes = dict(seen.codes)
    codes.pop(1001, None)  # the end of the process
    at = seen.closes
    most = max(bisect.bisect_left(at, t + 1) - i for i, t in enumerate(at))
    print(f"after {took:.1f} s: {after}, clients read {codes}, at most {most} in one second (of their clock)")
    print("drain:", drain)
    even = after[0] == 0 and max(after[1:]) - min(after[1:]) <= 0.05 * max(after[1:])
    return codes == {1012: args.sockets} and even


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--sockets", type=int, default=5000)
    parser.add_argument("--pace", type=int, default=200, help="closes a second")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(0 if asyncio.run(run(args)) else 1)


if __name__ == "__main__":
    main()
