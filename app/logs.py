"""Logging to standard output: one JSON object a line (or text for people), with the ids that `extra` carries. Never prompts or keys."""

from __future__ import annotations

import logging
import re
import sys

import structlog

from app.config import Settings

#: Heard only where something is wrong.
QUIET = ("httpx", "httpcore", "rq", "rq.worker", "botocore")

#: Controls of ASCII and Latin-1, other line ends, and what turns the direction of writing.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def configure_logging(settings: Settings, *, process: str) -> None:
    """Set up the root logger of a process entry."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _name, event: {**event, "process": process},
    ]
    renderers: list[structlog.typing.Processor]
    if settings.log_format == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Traces plain: rich's show every local variable, passwords and prompts among them, and take seconds to be painted.
        plain = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)
        renderers = [structlog.processors.format_exc_info, _escaping, plain]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _escaping(_logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Spell out what would begin a line of its own, or paint over others; JSON does so by itself."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _quoted(value) if key in ("exception", "stack") else escaped(value)
    return event


def escaped(text: str) -> str:
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(trace: str) -> str:
    """Return a trace whose lines cannot be taken for lines of the log: an error's words may be somebody else's."""
    return "\n".join(f"    | {escaped(line)}" for line in trace.split("\n"))
