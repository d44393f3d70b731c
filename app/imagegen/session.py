"""What every command starts from: the server, who calls, where orders are kept. Read from options and the environment by click."""

from __future__ import annotations

import getpass
import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from imagegen.gateway import Gateway
from imagegen.orders import Order, OrderFiles, caller_mark
from imagegen.outcomes import ClientError, WrongCall
from imagegen.showing import notice, show_error


class Amount(click.FloatRange):
    """A number of 0 or more that ends: with NaN as patience a command would wait for ever."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no amount", param, ctx)
        return number


AMOUNT = Amount(0)
DEFAULT_SERVER = "http://localhost:5000"
DEFAULT_PATIENCE_S = 60.0
#: Options of `imagegen` itself and of each of its commands; those of a command win.
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--server", {"metavar": "URL", "help": f"The gateway.  [IMAGEGEN_SERVER; {DEFAULT_SERVER}]"}),
    ("--key", {"metavar": "KEY", "help": "An API key.  [IMAGEGEN_KEY]"}),
    ("--token", {"metavar": "TOKEN", "help": "A user's token, instead of a key.  [IMAGEGEN_TOKEN]"}),
    ("--user", {"metavar": "ID", "help": "Whom orders are for.  [IMAGEGEN_USER; your login name; a token's own user]"}),
    ("--patience", {"type": AMOUNT, "metavar": "SECONDS", "help": "How long to retry.  [IMAGEGEN_PATIENCE; 60]"}),
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: one document, or one on each line for lists.")


@dataclass(frozen=True)
class Session:
    server: str
    key: str | None
    token: str | None
    user: str | None
    patience_s: float
    as_json: bool
    files: OrderFiles

    @property
    def caller(self) -> str:
        return caller_mark(self.key, self.token)

    @property
    def user_id(self) -> str | None:
        """Return whom requests are for; None leaves it to the server, which knows a token's user."""
        if self.user or self.token:
            return self.user
        try:
            return getpass.getuser()
        except (KeyError, OSError) as exc:
            raise WrongCall("Say whom this is for: --user or IMAGEGEN_USER") from exc

    @contextmanager
    def gateway(self, server: str | None = None, *, patience_s: float | None = None) -> Iterator[Gateway]:
        headers = {"User-Agent": "imagegen"}
        if self.key:
            headers["X-API-Key"] = self.key.strip()
        elif self.token:
            headers["Authorization"] = f"Bearer {self.token.strip()}"
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise WrongCall("The key or token has characters that none has")
        with closing(
            Gateway(server or self.server, headers, patience_s=self.patience_s if patience_s is None else patience_s, tell=notice)
        ) as gateway:
            yield gateway

    def order(self, path: str, body: dict[str, Any], output: str, *, force: bool, **known: Any) -> Order:
        return Order(caller=self.caller, server=self.server, path=path, body=body, output=output, force=force, **known)

    def check_caller(self, order: Order) -> None:
        """Refuse to show another caller's credential to an order's server, or to send its order as somebody else's new one."""
        if order.caller != self.caller:
            raise WrongCall(f"The order {order.id} was made with other credentials; use those ({order.server})")


def with_session(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the session as its first argument, and its errors to whoever reads them."""

    @AS_JSON
    @shared_options
    @wraps(command)
    def wrapper(*, as_json: bool, **kwargs: Any) -> int:
        given = {name.removeprefix("--"): kwargs.pop(name.removeprefix("--")) for name, _ in OPTIONS}
        general = click.get_current_context().obj
        as_json = as_json or general["as_json"]
        try:
            session = _session(general, given, as_json=as_json)
            if not session.server.startswith(("http://", "https://")):
                raise WrongCall(f"{session.server} is no address of a server; it starts with http:// or https://")
            return int(command(session, **kwargs))
        except ClientError as exc:
            show_error(exc, as_json=as_json)
            return int(exc.exit_code)

    return wrapper


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, attributes in reversed(OPTIONS):
        command = click.option(name, default=None, **attributes)(command)
    return command


def _session(general: dict[str, Any], given: dict[str, Any], *, as_json: bool) -> Session:
    """Join the options of the command, those before it, and the environment's; a credential named nearer hides the other kind.

    Raises WrongCall for a blank one: with an empty --key "$KEY" somebody would order as nobody.
    """
    chosen: dict[str, Any] = {}
    for values in (given, general["options"], general["environment"]):
        if blank := next((name for name, value in values.items() if isinstance(value, str) and not value.strip()), None):
            raise WrongCall(f"--{blank} is blank; leave it out, or fill it in")
        credential_chosen = chosen.get("key") or chosen.get("token")
        for name, value in values.items():
            if value is not None and name not in chosen and not (credential_chosen and name in ("key", "token")):
                chosen[name] = value
    return Session(
        server=chosen.get("server", DEFAULT_SERVER).rstrip("/"),
        key=chosen.get("key"),
        token=chosen.get("token"),
        user=chosen.get("user"),
        patience_s=float(chosen.get("patience", DEFAULT_PATIENCE_S)),
        as_json=as_json,
        files=OrderFiles(Path(general["state"])),
    )
