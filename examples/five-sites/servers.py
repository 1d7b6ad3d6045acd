"""Echo servers with Python's websockets, one a port: python3 servers.py 8082 8084 8085"""
import asyncio
import sys

import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def main():
    for port in sys.argv[1:]:
        await websockets.serve(echo, "127.0.0.1", int(port))
    await asyncio.Future()


asyncio.run(main())
