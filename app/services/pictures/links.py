"""Links to pictures that open without a header: the storage's own, and signed ones of this service, which end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

from attrs import define, field

from app.clients.storage import Storage
from app.domain import clock
from app.domain.errors import Forbidden
from app.domain.seal import Seal

#: A link opens for half a day at least and for a day at most: all that are made within a half-day are the same, so that caches know them.
PERIOD = timedelta(hours=12)


class Look(StrEnum):
    """What a link shows of a picture."""

    THUMBNAIL = "thumbnail"
    DOWNLOAD = "download"


@define(eq=False, slots=False, kw_only=True)
class PictureLinks:
    """`secret` signs, the same in all processes; one that has none makes no links of this service. `own_url` has no last slash."""

    _storage: Storage
    _own_url: str
    _secret: str
    _now: Callable[[], datetime] = clock.now
    _seal: Seal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seal = Seal(self._secret, "picture links")

    def url(self, key: str) -> str:
        """Return the storage's own link to a picture."""
        return self._storage.url(key)

    def thumbnail_url(self, key: str) -> str | None:
        """Return a link to a picture made small: 320 pixels, or what `size` is set to."""
        link = self._signed_link(Look.THUMBNAIL, key)
        return link and f"{link}&size=320"

    def download_url(self, key: str) -> str | None:
        """Return a link that saves a picture under a name that tells what it is."""
        return self._signed_link(Look.DOWNLOAD, key)

    def link_period(self) -> str:
        """Return what changes well before links of this moment end: part of what makes an answer a new one."""
        return "-".join(filter(None, (self._storage.link_period(), str(int(self._now().timestamp() // PERIOD.total_seconds())))))

    def check(self, look: Look, key: str, *, expires: int, signature: str) -> None:
        """Raise Forbidden for a link that was not made here, or has ended."""
        is_genuine = self._secret and self._seal.is_of(signature, _signed(look, key, expires))
        if not is_genuine or self._now().timestamp() >= expires:
            raise Forbidden("This link is not valid, or has ended; ask for the picture's job again to have a new one")

    def _signed_link(self, look: Look, key: str) -> str | None:
        if not self._secret:
            return None
        period = int(PERIOD.total_seconds())
        expires = (int(self._now().timestamp()) // period + 2) * period
        return f"{self._own_url}/pictures/{look}/{quote(key)}?expires={expires}&signature={self._seal.of(_signed(look, key, expires))}"


def _signed(look: Look, key: str, expires: int) -> str:
    return f"{look} {expires} {key}"
