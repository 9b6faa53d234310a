#!/usr/bin/python3
"""The one way into the desktop: HTTPS and WebSockets on port 6901, behind a password.

Browsers come as `kasm_user`, who may write, or as `kasm_viewer`, who may look. The front signs in to the X server with
the password that goes with that, so the X server itself refuses a viewer's keys, pointer and clipboard, whatever its
browser sends. After the handshake the bytes are passed on as they are.
"""

import asyncio
import base64
import binascii
import concurrent.futures
import ctypes
import hmac
import io
import logging
import os
import pathlib
import signal
import socket
import ssl

from aiohttp import WSMsgType, web
from PIL import Image, ImageGrab

PORT = 6901
RUN = pathlib.Path("/run/desktop")
PAGES = pathlib.Path("/usr/local/share/novnc")

HANDSHAKE_SECONDS = 30
GOODBYE_SECONDS = 5
SCREENSHOT_SECONDS = 10
# Larger frames than this are beyond what some clients take.
FRAME_BYTES = 65_535
# The largest message of a browser; the X server's own limit for a clipboard is 256 KiB.
MESSAGE_BYTES = 4 << 20
SCREENSHOT_PIXELS = 16_384
# A browser that vanished without a word is noticed after about this long.
VANISHED_SECONDS = 90

log = logging.getLogger("front")


class Stopped(Exception):
    """The browser or the X server went away, or said something that is not RFB."""


# --- who asks


def role_of(request, password):
    """`kasm_user`, `kasm_viewer`, or None for somebody whose password is missing or wrong."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, given = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    right = hmac.compare_digest(given, password)
    for role in ("kasm_user", "kasm_viewer"):
        if right and user == role.encode():
            return role
    return None


# --- pages


def find_pages():
    """Every file by its path, so that no path can lead elsewhere; the client's page also at the top."""
    pages = {f"/{file.relative_to(PAGES)}": file for file in PAGES.rglob("*") if file.is_file()}
    return pages | {"/": pages["/vnc.html"]}


def page(request):
    file = request.app["pages"].get(request.path)
    if file is None:
        return web.Response(status=404, text="There is no such page.\n")
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    return web.FileResponse(file, headers={"Cache-Control": "no-cache"})


# --- screenshots


def number(request, name, default, highest):
    """A number from the query between 1 and `highest`, or `default` where none is given."""
    text = request.query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 6 and int(text) <= highest):
        raise web.HTTPBadRequest(text=f"{name} is a number up to {highest}.\n")
    return max(int(text), 1)


def take_screenshot(size, quality):
    image = ImageGrab.grab(xdisplay=os.environ["DISPLAY"])
    image.thumbnail(size, Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


async def screenshot(request, role):
    if role != "kasm_user":
        return web.Response(status=403, text="Only kasm_user may take screenshots.\n")
    if request.method != "GET":
        return web.Response(status=405, headers={"Allow": "GET"})
    size = (number(request, "width", SCREENSHOT_PIXELS, SCREENSHOT_PIXELS),
            number(request, "height", SCREENSHOT_PIXELS, SCREENSHOT_PIXELS))
    # Kasm's images count from 0 to 9.
    quality = number(request, "quality", 80, 100)
    quality = 10 + quality * 10 if quality < 10 else min(quality, 95)
    loop = asyncio.get_running_loop()
    try:
        # One at a time: they cost processor time that the desktop needs.
        async with asyncio.timeout(SCREENSHOT_SECONDS), request.app["screenshots"]:
            image = await loop.run_in_executor(request.app["camera"], take_screenshot, size, quality)
    except (TimeoutError, OSError) as error:
        log.warning("no screenshot: %r", error)
        return web.Response(status=503, text="There is no screenshot now.\n")
    return web.Response(body=image, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


# --- the desktop


def encrypt_des(key, block):
    """VNC's use of DES, with its keys' bits reversed; OpenSSL still has it."""
    crypto = ctypes.CDLL("libcrypto.so.3")
    schedule = ctypes.create_string_buffer(128)
    out = ctypes.create_string_buffer(8)
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key[:8].ljust(8, b"\0"))
    crypto.DES_set_key_unchecked(mirrored, schedule)
    crypto.DES_ecb_encrypt(block, out, schedule, 1)
    return out.raw


async def connect(password):
    """A connection to the X server that is signed in and waits for ClientInit."""
    reader, writer = await asyncio.open_unix_connection(RUN / "rfb")
    try:
        writer.write(await reader.readexactly(12))
        kinds = await reader.readexactly((await reader.readexactly(1))[0])
        if 2 not in kinds:
            raise Stopped(f"the X server offers {kinds!r} instead of a password")
        writer.write(b"\2")
        challenge = await reader.readexactly(16)
        writer.write(encrypt_des(password, challenge[:8]) + encrypt_des(password, challenge[8:]))
        if await reader.readexactly(4) != bytes(4):
            raise Stopped("the X server refused the password")
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


class Browser:
    """The stream of bytes that the binary messages of a WebSocket make."""

    def __init__(self, socket):
        self.socket = socket
        self.unread = b""

    async def read_some(self):
        """What comes next; empty at the end."""
        if self.unread:
            taken, self.unread = self.unread, b""
            return taken
        while True:
            message = await self.socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                return b""
            if message.type is WSMsgType.ERROR:
                raise Stopped(f"a browser's connection broke: {message.data}")
            if message.type is not WSMsgType.BINARY:
                raise Stopped(f"a browser sent {message.type.name} instead of a binary message")
            if message.data:
                return message.data

    async def read_exactly(self, count):
        taken = b""
        while len(taken) < count:
            more = await self.read_some()
            if not more:
                raise Stopped("a browser left during the handshake")
            taken += more
        self.unread = taken[count:]
        return taken[:count]

    async def handshake(self):
        """RFB up to ClientInit: nobody is asked for a password, since HTTP already did."""
        await self.socket.send_bytes(b"RFB 003.008\n")
        version = await self.read_exactly(12)
        if version not in (b"RFB 003.007\n", b"RFB 003.008\n"):
            raise Stopped(f"a browser speaks {version!r}")
        await self.socket.send_bytes(b"\1\1")
        if await self.read_exactly(1) != b"\1":
            raise Stopped("a browser chose a kind of sign-in that was not offered")
        if version == b"RFB 003.008\n":
            await self.socket.send_bytes(bytes(4))


async def to_desktop(browser, writer):
    while data := await browser.read_some():
        writer.write(data)
        await writer.drain()


async def to_browser(reader, browser):
    while data := await reader.read(FRAME_BYTES):
        await browser.socket.send_bytes(data)


async def relay(browser, reader, writer):
    """Until either side ends."""
    ways = [asyncio.create_task(to_desktop(browser, writer)), asyncio.create_task(to_browser(reader, browser))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        ends = await asyncio.gather(*ways, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def desktop(request, role):
    password = request.app["passwords"][role]
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            reader, writer = await connect(password)
    except (OSError, EOFError, TimeoutError, Stopped) as error:
        log.error("no desktop: %r", error)
        return web.Response(status=503, text="The desktop does not answer.\n")
    answer = web.WebSocketResponse(protocols=("binary",), compress=False, max_msg_size=MESSAGE_BYTES, timeout=2)
    try:
        await answer.prepare(request)
        log.info("%s came from %s", role, request.remote)
        browser = Browser(answer)
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await browser.handshake()
        await relay(browser, reader, writer)
    except (OSError, EOFError, TimeoutError, Stopped) as error:
        log.info("%s at %s: %s", role, request.remote, error or type(error).__name__)
    finally:
        writer.transport.abort()
        log.info("%s at %s left", role, request.remote)
    await say_goodbye(answer)
    return answer


async def say_goodbye(socket):
    """To a browser that may have stopped reading long ago."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await socket.close()
    except (OSError, TimeoutError):
        pass


# --- the server


async def answer(request):
    role = role_of(request, request.app["password"])
    if role is None:
        headers = {"WWW-Authenticate": 'Basic realm="Desktop"'}
        return web.Response(status=401, text="The password of this desktop is needed.\n", headers=headers)
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await desktop(request, role)
    if request.path == "/api/get_screenshot":
        return await screenshot(request, role)
    return page(request)


def listener():
    """Connections inherit what is set here."""
    listening = socket.create_server(("0.0.0.0", PORT), backlog=128)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, VANISHED_SECONDS // 3)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_SECONDS // 6)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve():
    user, viewer = (RUN / "passwords").read_bytes().splitlines()
    app = web.Application()
    app["password"] = os.environ["VNC_PW"].encode(errors="surrogateescape")
    app["passwords"] = {"kasm_user": user, "kasm_viewer": viewer}
    app["pages"] = find_pages()
    app["screenshots"] = asyncio.Lock()
    app["camera"] = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    app.router.add_route("*", "/{path:.*}", answer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(RUN / "certificate.pem", RUN / "key.pem")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener(), ssl_context=tls).start()
    log.info("listening on port %d", PORT)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(serve())
