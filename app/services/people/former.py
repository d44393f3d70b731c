"""Knows again a login whose account was deleted, without keeping it: by a digest that nobody makes without this service's secret."""

from __future__ import annotations

from datetime import datetime

from attrs import define, field

from app.domain.seal import Seal
from app.stores.departures import DepartureStore


@define(eq=False, slots=False, kw_only=True)
class FormerLogins:
    _departures: DepartureStore
    _secret: str
    _seal: Seal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seal = Seal(self._secret, "former logins")

    def digest(self, login: str) -> str:
        return self._seal.of(login)

    def left_at(self, login: str) -> datetime | None:
        """Return when the account of a login was deleted; None where there was none."""
        return self._departures.left_at(self.digest(login))
