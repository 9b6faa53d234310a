"""An agent with the three messages of version 1 and nothing else: legacy_agent.py URL CLIENT_ID TOKEN"""

import asyncio
import base64
import json
import sys

import websockets

# Renamed in version 14 of the library.
HEADERS = "additional_headers" if int(websockets.__version__.split(".")[0]) >= 14 else "extra_headers"


async def to_server(socket, ids, reader):
    while data := await reader.read(16384):
        await socket.send(json.dumps({"type": "proxy_data", **ids, "data": base64.b64encode(data).decode()}))
    await socket.send(json.dumps({"type": "proxy_disconnect", **ids}))


async def channel(socket, message, inbox):
    ids = {"proxy_id": message["proxy_id"], "user_id": message["user_id"]}
    try:
        reader, writer = await asyncio.open_connection(message["remote_host"], message["remote_port"])
    except OSError:
        return await socket.send(json.dumps({"type": "proxy_disconnect", **ids}))
    up = asyncio.create_task(to_server(socket, ids, reader))
    while (message := await inbox.get())["type"] == "proxy_data":
        writer.write(base64.b64decode(message["data"]))
        await writer.drain()
    up.cancel()
    writer.close()


async def main(url, client_id, token):
    headers = {"Authorization": f"Bearer {token}", "X-Client-Id": client_id}
    inboxes, tasks = {}, set()
    async with websockets.connect(url, **{HEADERS: headers}, max_size=1 << 20) as socket:
        async for text in socket:
            message = json.loads(text)
            user = message["user_id"]
            if message["type"] == "proxy_connect":
                inboxes[user] = asyncio.Queue()
                tasks.add(asyncio.create_task(channel(socket, message, inboxes[user])))
            elif message["type"] in ("proxy_data", "proxy_disconnect") and user in inboxes:
                inboxes[user].put_nowait(message)


asyncio.run(main(*sys.argv[1:]))
