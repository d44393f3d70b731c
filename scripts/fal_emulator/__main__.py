"""Emulate fal.ai's queue over TLS: `python -m scripts.fal_emulator --help`.

A service reaches it by fal-client's own variables: FAL_RUN_HOST and FAL_QUEUE_RUN_HOST name `localhost:<port>`,
SSL_CERT_FILE names the bundle printed in the line that says "ready". Any FAL_KEY is good unless it begins with "bad".
"""

import argparse
import asyncio
import logging
import signal
import socket
from pathlib import Path

from aiohttp import web

from scripts.fal_emulator import control, files_api, platform_api, queue_api
from scripts.fal_emulator.state import Settings
from scripts.fal_emulator.tls import Tls, prepare
from scripts.fal_emulator.world import World
from scripts.stack.processes import allow_open_files

BACKLOG = 2_048
LARGEST_BODY = 256 * 1024 * 1024


def main() -> None:
    """Serve until SIGTERM or SIGINT; one line on standard output says when it is ready."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    allow_open_files()
    tls = prepare(options.tls_dir)
    settings = Settings(seconds=options.seconds, queue_seconds=options.queue_seconds)
    asyncio.run(_serve(options.host, options.port, tls, settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="fal.ai's queue protocol over TLS, with painted pictures.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18443, help="0 picks a free one")
    parser.add_argument("--tls-dir", type=Path, default=Path("var/tls"), help="certificates and the webhook key")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a generation runs")
    parser.add_argument("--queue-seconds", type=float, default=0.2, help="how long it waits before")
    return parser


def build_app(world: World) -> web.Application:
    """Return the application; the queue's catch-all routes come last."""
    app = web.Application(client_max_size=LARGEST_BODY)
    app[queue_api.WORLD] = world
    control.add_routes(app)
    files_api.add_routes(app)
    platform_api.add_routes(app)
    queue_api.add_routes(app)
    return app


async def _serve(host: str, port: int, tls: Tls, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = socket.create_server((host, port), backlog=BACKLOG)
    base_url = f"https://localhost:{listener.getsockname()[1]}"
    world = World(base_url, tls, settings)
    # A handler ends with its client, so that a failure ordered as "hang" holds nothing after the caller gave up.
    runner = web.AppRunner(build_app(world), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await world.deliverer.open()
    await web.SockSite(runner, listener, ssl_context=tls.server, backlog=BACKLOG).start()
    print(f"fal_emulator ready {base_url} bundle={tls.bundle}", flush=True)
    await stop.wait()
    world.reset()
    await runner.cleanup()
    await world.deliverer.close()
    world.painter.close()


if __name__ == "__main__":
    main()
