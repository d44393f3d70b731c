"""Serves the pictures as fal's CDN does, and the files that are none."""

import asyncio
import struct
import zlib

from aiohttp import web

from scripts.fal_emulator.answers import misbehave, send_huge
from scripts.fal_emulator.outputs import METADATA_URL
from scripts.fal_emulator.queue_api import WORLD
from scripts.fal_emulator.state import File

HUGE_BYTES = 60 * 1024 * 1024
BOMB_SIDE = 30_000
SLOW_SECONDS = 5.0
SLOW_PIECES = 20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CACHE_CONTROL = "public, max-age=5184000, immutable"


def add_routes(app: web.Application) -> None:
    app.router.add_get("/files/{name}", serve)


async def serve(request: web.Request) -> web.StreamResponse:
    world = request.app[WORLD]
    file = world.state.files.get(request.match_info["name"])
    if file is None:
        return web.Response(status=404, text="Not found")
    file.job.asked["fileFetches"] += 1
    world.state.count("fileFetches")
    if "Authorization" in request.headers:
        world.state.count("filesFetchedWithKey")
    if spoiled := await misbehave(request, world.fault_for("file", file.job), file.job.request_id):
        return spoiled
    if file.outcome is None:
        return _bytes(await world.painter.get(file.picture), file)
    return await _spoiled(request, file)


def _bytes(body: bytes, file: File) -> web.Response:
    return web.Response(body=body, content_type=f"image/{file.picture.file_format}", headers={"Cache-Control": CACHE_CONTROL})


async def _spoiled(request: web.Request, file: File) -> web.StreamResponse:
    if file.outcome == "huge_file":
        return await send_huge(request, PNG_SIGNATURE, b"", HUGE_BYTES, "image/png")
    if file.outcome in {"truncated_file", "slow_file"}:
        body = await request.app[WORLD].painter.get(file.picture)
        return await _slowly(request, body) if file.outcome == "slow_file" else _bytes(body[: len(body) // 2], file)
    if file.outcome == "missing_file":
        return web.Response(status=404, text="Not found")
    if file.outcome == "redirect_private":
        return web.Response(status=302, headers={"Location": METADATA_URL})
    if file.outcome == "bomb":
        return web.Response(body=_bomb(), content_type="image/png")
    return web.Response(text="This is text, not a picture.")


def _bomb() -> bytes:
    """A PNG of some hundred bytes that declares 900 megapixels."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(BOMB_SIDE))) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


async def _slowly(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": str(len(body))})
    await response.prepare(request)
    size = len(body) // SLOW_PIECES + 1
    for start in range(0, len(body), size):
        await asyncio.sleep(SLOW_SECONDS / SLOW_PIECES)
        await response.write(body[start : start + size])
    return response
