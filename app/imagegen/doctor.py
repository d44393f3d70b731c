"""`imagegen doctor`: whether orders can be made from here, and what to do where not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import click

from imagegen.gateway import Gateway
from imagegen.outcomes import ClientError, Exit, Refused
from imagegen.session import Session, with_session
from imagegen.showing import emit, say

#: Clocks that differ by more make tokens look old.
CLOCK_S = 60.0


@dataclass(frozen=True)
class Finding:
    is_well: bool
    what: str
    text: str
    remedy: str = ""


@click.command(short_help="Check server, credential, clock and this machine.")
@with_session
def doctor(session: Session) -> int:
    """Check the server, the key or token, the clock, and where orders are kept, each with what to do; ends with 1 where one is wrong."""
    found = list(_findings(session))
    for finding in found:
        if session.as_json:
            emit({"ok": finding.is_well, "what": finding.what, "text": finding.text, "remedy": finding.remedy or None})
            continue
        say(f"{'ok' if finding.is_well else 'BAD':<5} {finding.what:<8} {finding.text}")
        if finding.remedy:
            say(f"{'':<14} -> {finding.remedy}")
    return int(Exit.DONE if all(finding.is_well for finding in found) else Exit.FAILED)


def _findings(session: Session) -> Iterator[Finding]:
    yield _orders(session)
    with session.gateway(patience_s=0) as gateway:
        try:
            alive = gateway.ask("/healthz")
        except ClientError as exc:
            yield Finding(is_well=False, what="server", text=exc.message)
            return
        yield Finding(is_well=True, what="server", text=f"{session.server} answers")
        yield _readiness(gateway)
        yield _clock(alive.headers.get("Date", ""))
        yield _credential(session, gateway)


def _orders(session: Session) -> Finding:
    folder, is_writable = session.files.folder, True
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_writable = os.access(folder, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        return Finding(is_well=False, what="orders", text=f"{folder} cannot be written", remedy="mend its rights, or set XDG_STATE_HOME")
    count = len(list(session.files.all()))
    remedy = "finish them with: imagegen resume" if count else ""
    return Finding(is_well=True, what="orders", text=f"{count} open, kept in {folder}", remedy=remedy)


def _readiness(gateway: Gateway) -> Finding:
    try:
        gateway.get("/readyz")
    except ClientError as exc:
        remedy = "its operator looks with: python -m app doctor"
        return Finding(is_well=False, what="stores", text=exc.message, remedy=remedy)
    return Finding(is_well=True, what="stores", text="the server says that it can work")


def _clock(date: str) -> Finding:
    try:
        apart_s = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError):
        return Finding(is_well=True, what="clock", text="the server does not tell its time")
    if apart_s > CLOCK_S:
        return Finding(is_well=False, what="clock", text=f"{apart_s:.0f} s apart from the server's", remedy="set one of the two clocks")
    return Finding(is_well=True, what="clock", text="agrees with the server's")


def _credential(session: Session, gateway: Gateway) -> Finding:
    kind = "key" if session.key else "token" if session.token else "none"
    try:
        models = gateway.get("/api/images/models")["models"]
        gateway.get("/api/jobs", userId=session.user_id, limit=1)
    except Refused as exc:
        remedy = "set IMAGEGEN_KEY or --key; its operator makes keys with: python -m app keys create"
        return Finding(is_well=False, what="caller", text=f"credential: {kind}; {exc.message}", remedy=remedy)
    except ClientError as exc:
        return Finding(is_well=False, what="caller", text=exc.message)
    whom = session.user_id or "the token's user"
    return Finding(is_well=True, what="caller", text=f"credential: {kind}; {len(models)} models, orders are for {whom}")
