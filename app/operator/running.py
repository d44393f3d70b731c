"""What every command of the operator starts from: settings from the environment, services, a place to print."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.console import Console

from app.bootstrap import Services
from app.config import Settings, load_settings
from app.domain.audit import Actor
from app.domain.errors import StoreNotReady

console = Console()


class Filled(click.ParamType):  # type: ignore[type-arg]  # Generic in newer versions of click only.
    """A text that is not blank: an empty "$USER_ID" names nobody, and must not become somebody's name."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.strip():
            self.fail("is blank; leave it out, or fill it in", param, ctx)
        return value


FILLED = Filled()


def settings() -> Settings:
    return load_settings(os.environ)


def actor() -> Actor:
    """Return who runs the command, as the system knows it: the environment could say anything."""
    try:
        return Actor(f"cli:{pwd.getpwuid(os.getuid()).pw_name}")
    except KeyError:  # Containers often run as a number without a name.
        return Actor(f"cli:{os.getuid()}")


def with_services(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the services as its first argument."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with contextlib.closing(Services(settings())) as services:
            with contextlib.suppress(StoreNotReady):  # A missing index must not keep the operator from mending what it stumbles over.
                services.readiness.look()
            services.readiness.prove()
            return command(services, *args, **kwargs)

    return wrapper
