"""`imagegen`: order pictures from a gateway and have them as files.

Exit codes: 0 done, 1 the generation failed, 2 wrong call, 3 the server does not answer, 4 refused, 5 interrupted but resumable, 6 partly
delivered. See docs/client.md.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from imagegen import __version__
from imagegen.bridge import mcp
from imagegen.collecting import fetch, resume, retry
from imagegen.doctor import doctor
from imagegen.fal_env import fal_env
from imagegen.jobs import cancel, delete, jobs, show
from imagegen.ordering import batch, generate
from imagegen.outcomes import Exit, WrongCall
from imagegen.reading import estimate, models, usage
from imagegen.session import AMOUNT, AS_JSON, OPTIONS, shared_options
from imagegen.showing import show_error
from imagegen.webhooks import webhook_listen, webhook_verify

INTERRUPTED_BEFORE_AN_ORDER = 130


def main() -> int:
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        status = cli(prog_name="imagegen", standalone_mode=False)
    except click.ClickException as exc:
        if "--json" in sys.argv:
            show_error(WrongCall(exc.format_message()), as_json=True)
        else:
            exc.show()
        return int(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED_BEFORE_AN_ORDER
    return status if isinstance(status, int) else 0


def _as_interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
@AS_JSON
@shared_options
@click.pass_context
def cli(context: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Order pictures from an image gateway, and get them as files."""
    context.obj = {"options": options, "environment": _from(os.environ), "state": _state_folder(os.environ), "as_json": as_json}


def _from(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option, _ in OPTIONS:
        name = option.removeprefix("--")
        if text := environment.get(f"IMAGEGEN_{name.upper()}", "").strip():
            found[name] = text
    if "patience" in found:
        try:
            found["patience"] = AMOUNT.convert(found["patience"], None, None)
        except click.BadParameter as exc:
            raise click.UsageError(f"IMAGEGEN_PATIENCE: {exc.message}") from exc
    return found


def _state_folder(environment: Mapping[str, str]) -> Path:
    """Return where open orders are kept (XDG Base Directory Specification 0.8)."""
    state = Path(environment.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "imagegen" / "orders"


#: As they are used: to order, to get, to look, to connect.
COMMANDS = (
    *(generate, batch, resume, fetch, retry),
    *(jobs, show, cancel, delete, models, estimate, usage, doctor),
    *(mcp, fal_env, webhook_listen, webhook_verify),
)
for command in COMMANDS:
    cli.add_command(command)
