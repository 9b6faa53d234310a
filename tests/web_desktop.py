"""A web application as a desktop: it says what it was sent, and sends back what comes by WebSocket."""

import asyncio, hashlib
from aiohttp import WSMsgType, web

async def serve(request):
    socket = web.WebSocketResponse()
    if socket.can_prepare(request).ok:
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket
    length, digest = 0, hashlib.sha256()
    async for piece in request.content.iter_any():
        length += len(piece)
        digest.update(piece)
    headers = dict((name.lower(), value) for name, value in request.headers.items())
    return web.json_response(dict(target=request.raw_path, length=length, sha256=digest.hexdigest(), headers=headers))

async def main():
    runner = web.ServerRunner(web.Server(serve, max_field_size=64 * 1024))
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 8000).start()
    await asyncio.Event().wait()

asyncio.run(main())
