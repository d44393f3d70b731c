"""Logging to standard output: one JSON object a line (or text for people), with the ids that `extra` carries. Never prompts or keys."""

from __future__ import annotations

import logging
import sys

import structlog

from app.config import Settings

QUIET = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "rq": logging.WARNING,
    "rq.worker": logging.WARNING,
    "botocore": logging.WARNING,
}


def configure_logging(settings: Settings, *, process: str) -> None:
    """Set up the root logger of a process entry."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _naming(process),
    ]
    renderers: list[structlog.typing.Processor]
    if settings.log_format == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def _naming(process: str) -> structlog.typing.Processor:
    def add(
        logger: structlog.typing.WrappedLogger,  # noqa: ARG001 - structlog's signature
        name: str,  # noqa: ARG001
        event: structlog.typing.EventDict,
    ) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
