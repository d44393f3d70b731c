"""What may be held open for long: bounds for each caller, and in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import request

from app.api.http.auth import caller
from app.api.http.limits import address
from app.domain.errors import Busy
from app.domain.places import Places

T = TypeVar("T")


class Held:
    """So many at once of one kind: `of_user` for a signed-in user, `of_script` for a key, or an address without any credential."""

    def __init__(self, *, of_user: int, of_script: int, users: int, scripts: int) -> None:
        self._users, self._scripts = Places(users, each=of_user), Places(scripts, each=of_script)

    def of_caller(self) -> tuple[Places, str]:
        """Return where who asks now is counted, and by which name."""
        who = caller()
        return (self._users if who.account else self._scripts), (who.identity if who.account or who.key else address())


streams = Held(of_user=100, of_script=1000, users=1500, scripts=1500)
waits = Held(of_user=200, of_script=5000, users=3000, scripts=5000)
#: Whoever has a link may look: counted by address alone. A page shows many pictures, so they wait for each other.
downloads = Places(512, each=64, waiting=512)
DOWNLOAD_WAIT_S = 5.0


def hold_stream() -> None:
    """Count this request as a stream until its end. Raises Busy where its caller has too many."""
    places, name = streams.of_caller()
    if not places.take(name):
        raise Busy("You follow too many jobs at once; follow fewer, or ask for them now and then")
    _at_the_end(lambda: places.give_back(name))


def hold_download() -> None:
    """Count this request as a download until its end. Raises Busy where its address has too many."""
    home = address()
    if not downloads.take(home, wait_s=DOWNLOAD_WAIT_S):
        raise Busy("You fetch too many files at once; try again soon")
    _at_the_end(lambda: downloads.give_back(home))


def counted_wait(wait: Callable[[float], T], seconds: float) -> Callable[[], T]:
    """Return a wait of so many seconds, or of none where its caller waits for too much already when it begins."""
    places, name = waits.of_caller()

    def counted() -> T:
        if not places.take(name):
            return wait(0.0)
        try:
            return wait(seconds)
        finally:
            places.give_back(name)

    return counted


def _at_the_end(call: Callable[[], None]) -> None:
    """Call when the request is over, however it ends; a response is not told of its end where it passes a file through."""
    hooks = request.environ.get("eventlet.posthooks")
    if hooks is None:
        call()  # Another server, which has no long requests to bound.
    else:
        hooks.append((lambda _: call(), (), {}))
