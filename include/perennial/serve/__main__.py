"""python -m perennial.serve: the model server of one pipeline."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from perennial.config.values import NAME
from perennial.display.showable import make_logs_showable
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, SignatureRefusedError
from perennial.lake.layout import Layout, lake_root
from perennial.serve.app import App
from perennial.serve.follow import Follower
from perennial.serve.limits import Limits
from perennial.serve.memory import find_memory, use_few_arenas
from perennial.serve.metrics import Metrics
from perennial.serve.protocol import bounded_protocol, sweep_connections
from perennial.serve.release import load_release
from perennial.serve.repeats import Repeats
from perennial.serve.tokens import Tokens
from perennial.serve.trust import TrustMetric
from perennial.settings import get_settings, load_environment
from perennial.store.objects import Objects

log = logging.getLogger("perennial.serve")

# A worker thread may hold the interpreter this long while the event loop waits. With Python's default of 5 ms, the p99 of
# single records sent beside batches of 1,000 was five times as long, at the same rows a second.
_SWITCH_SECONDS = 0.0005


def main() -> int:
    """Serve until SIGTERM. Return 65 if the release given with --release is refused, 1 after any other error."""
    use_few_arenas()
    args = _arguments()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats())
    logging.getLogger("botocore").setLevel(logging.WARNING)
    make_logs_showable()
    for name in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the signal again after it has stopped
        signal.signal(name, _leave)
    sys.setswitchinterval(_SWITCH_SECONDS)
    load_environment()
    objects, layout = Objects(), Layout(lake_root(), args.space, args.pipeline)
    follower: Follower | None = None
    try:
        limits = _limits(args)
        app = App(args.pipeline, Metrics(args.pipeline), limits, _tokens())
        trust = TrustMetric(app.metrics.registry)
        trust.show()
    except PerennialError as error:
        log.error("%s", error)
        return 1  # the settings say nothing about a version: a deploy must not bar the version for them
    if args.release:
        try:
            app.switch(load_release(objects, layout, args.release, limits))
        except PerennialError as error:
            log.error("%s", error)
            # Neither does a signature.
            is_version_to_blame = not error.retryable and not isinstance(error, SignatureRefusedError)
            return REFUSED_EXIT_CODE if is_version_to_blame else 1
    else:
        follower = Follower(app, objects, layout, limits, trust, args.newest_file)
        follower.start()
    try:
        _run(app, args.host, args.port, limits)
    finally:
        if follower is not None:
            follower.stop()
    return 0


def _limits(args: argparse.Namespace) -> Limits:
    settings = get_settings()
    memory = settings.server_memory_mib * 2**20 if settings.server_memory_mib else find_memory()
    log.info("Keeping to %s MiB of memory", memory // 2**20)
    limits = Limits(
        header_seconds=args.header_seconds,
        body_seconds=args.body_seconds,
        address_connections=settings.server_address_connections,
    )
    return limits.within(memory)


def _tokens() -> Tokens | None:
    file = get_settings().server_tokens
    return Tokens(file) if file else None


def _run(app: App, host: str, port: int, limits: Limits) -> None:
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=bounded_protocol(limits),
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(limits.idle_seconds),
        timeout_graceful_shutdown=limits.stop_seconds,
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        sweeper = asyncio.create_task(sweep_connections(server.server_state.connections, limits))
        try:
            await server.serve()
        finally:
            sweeper.cancel()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        asks = "predictions need a token" if get_settings().server_tokens else "predictions need no token"
        log.info("Listening on http://%s:%s, %s", host, port, asks)
        runner.run(serve())


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _arguments() -> argparse.Namespace:
    limits = Limits()
    parser = argparse.ArgumentParser(prog="python -m perennial.serve", description="Serve the model of one pipeline over HTTP.")
    parser.add_argument("--pipeline", required=True, type=_name, help="name of the pipeline")
    parser.add_argument("--space", default="main", type=_name, help="space of the release (default: main, production)")
    parser.add_argument("--release", help="serve exactly this release (default: follow the active one)")
    parser.add_argument(
        "--newest-file", type=Path, help="file that keeps the number of the newest pointer: a restarted server takes no older one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument(
        "--header-seconds", type=float, default=limits.header_seconds, help="seconds within which a request's headers must arrive"
    )
    parser.add_argument(
        "--body-seconds", type=float, default=limits.body_seconds, help="seconds within which a request's body must arrive"
    )
    return parser.parse_args()


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid name: use only a-z, 0-9 and _")
    return text


if __name__ == "__main__":
    sys.exit(main())
