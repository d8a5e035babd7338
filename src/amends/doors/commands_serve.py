"""`amends serve` and `amends worker`: the processes that stay."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import structlog
import typer
import uvicorn
import uvloop

from amends.doors import logs
from amends.doors.rest import app
from amends.doors.shell import (
    DEFAULT_CONFIG,
    ConfigPath,
    fail,
    opened,
    out,
    read_config,
)
from amends.engine import heap
from amends.engine.config import Config
from amends.engine.wiring import Engine
from amends.gateways.registry import CAPABILITIES

log = structlog.get_logger()

BACKLOG = 2048
STOP_SECONDS = 10  # for requests on the way when the process is told to stop


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    host: Annotated[str, typer.Option(help="Address to listen on, instead of the setting.")] = "",
    port: Annotated[
        int, typer.Option(help="Port to listen on, instead of the setting; 0 for any.", min=-1)
    ] = -1,
) -> None:
    """Serve REST and webhooks, send what was decided, and sweep. Logs are JSON on standard error.

    SIGTERM or Ctrl-C stops it in order: no new requests, answers of providers taken in, a seal.
    A SQLite file has one server; several may share one PostgreSQL.

    Example: amends serve --port 8080
    """
    settings = read_config(config)
    address = host or settings.server.host
    listener = _listen(address, settings.server.port if port < 0 else port)
    with listener, _logging(settings):
        stay(lambda stop: _serve(settings, listener, stop))


def worker(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Send what was decided, and sweep, without listening: more hands beside a server.

    Example: amends worker --config /etc/amends.toml
    """
    settings = read_config(config)
    if settings.store.url.startswith("sqlite"):
        fail("A SQLite file has one server, `amends serve`; workers share a PostgreSQL.")
    with _logging(settings):
        stay(lambda stop: _work(settings, stop))


# -- how a process stays -------------------------------------------------------------------------


def stay(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run until the work is over; SIGTERM and SIGINT set its event."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        await work(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextmanager
def _logging(config: Config) -> Iterator[None]:
    secrets: list[str] = []
    for connection in config.connections.values():
        settings = connection.settings
        able = CAPABILITIES[settings.gateway]
        secrets += [settings.values[name] for name in able.secrets if name in settings.values]
        secrets += settings.webhook_secrets
    logs.set_up(secrets)
    yield
    logs.set_up(level=logging.WARNING)


def _listen(host: str, port: int) -> socket.socket:
    """Taken before anything else, so that a wrong address is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        fail(f"{host} port {port} cannot be listened on: {why}.")


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[Engine]:
    """The engine of a server or worker: owns the store, turns and sweeps, and stops in order."""
    async with opened(config) as store:
        await store.own()
        engine = Engine(config, store)
        await engine.start()
        heap.settle()
        try:
            yield engine
        finally:
            await engine.stop()


class _Server(uvicorn.Server):
    """uvicorn leaves the signals to us: it would raise them again and so end without order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(config: Config, listener: socket.socket, stop: asyncio.Event) -> None:
    async with _running(config) as engine:
        server = _Server(
            uvicorn.Config(
                app(engine),
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        out.print(f"amends serves {url}", markup=False)
        if not engine.limits:
            out.print("It has no provider yet: name one in the settings.", markup=False)
        log.info("serving", url=url, connections=sorted(engine.connections))
        await _until(stop, engine)
        engine.hurry()
        server.should_exit = True
        await serving
    log.info("stopped")


async def _work(config: Config, stop: asyncio.Event) -> None:
    async with _running(config) as engine:
        out.print("amends works", markup=False)
        log.info("working", connections=sorted(engine.connections))
        await _until(stop, engine)
    log.info("stopped")


async def _until(stop: asyncio.Event, engine: Engine) -> None:
    """Until somebody says stop, or the engine has a defect: then whoever supervises us starts
    another process."""
    told = asyncio.create_task(stop.wait())
    broken = asyncio.create_task(engine.over())
    await asyncio.wait({told, broken}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if broken.done():
        log.error("the engine has ended by itself", exc_info=broken.exception())
    broken.cancel()
