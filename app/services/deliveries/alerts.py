"""Warnings to owners and the operator, by the same machine as events of jobs; `ALERT_WEBHOOK_URL` gets them in Slack's text form."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import define, field

from app.domain import clock
from app.domain.alert import ALERTS, Alert
from app.domain.delivery import HookFormat
from app.domain.endpoint import OPERATOR, OrderHook
from app.domain.errors import StoreUnavailable
from app.domain.event import Event
from app.services.deliveries.produce import Producer

log = logging.getLogger(__name__)

REMEMBERED = 10_000


@define(eq=False, slots=False, kw_only=True)
class Alerts:
    _producer: Producer
    _url: str | None
    _now: Callable[[], datetime] = clock.now
    _told: dict[str, None] = field(init=False, factory=dict)

    def warn(self, alert: Alert) -> None:
        """Write the warning's deliveries, unless this process has done so. Never raises: what it warns of goes on, and is found again."""
        if alert.key in self._told:
            return
        log.info("alert: %s", alert.text, extra={"alert": alert.type})
        hook = OrderHook(url=self._url, owner=OPERATOR, events=ALERTS, format=HookFormat.SLACK) if self._url else None
        data = {**alert.data, "message": alert.text}
        event = Event(type=alert.type, key=alert.key, owners=alert.owners, at=self._now(), data=lambda: data, hook=hook)
        try:
            self._producer.produce(event)
        except StoreUnavailable:
            log.warning("alert not written down", extra={"alert": alert.type}, exc_info=True)
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[alert.key] = None


def slack_body(event: Event, data: Mapping[str, Any]) -> str:
    """Return the body that Slack's incoming webhooks take, and those of others in their manner. `<` and `&` would be markup there."""
    text = str(data.get("message", event.type)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return json.dumps({"text": text}, ensure_ascii=False)
