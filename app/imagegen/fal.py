"""fal's own Python client, led to a gateway: `imagegen.fal.use(server, key)` before the first call of `fal_client`.

By environment alone (`imagegen fal-env`) fal-client goes only to https, and its uploads go to fal whatever the environment says; see
docs/fal.md. Nothing but the standard library may be imported here: the file works beside every fal-client, also copied to where it is.
"""

from __future__ import annotations

import os


def places(server: str) -> dict[str, str]:
    """Return the addresses of a gateway under the names by which fal-client keeps fal's.

    Those are read at each call, so that clients made before are led along. Raises ValueError for what is no address of a server.
    """
    base = server.strip().rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"{server!r} is no address of a server; it starts with http:// or https://")
    return {
        "RUN_URL_FORMAT": f"{base}/fal/",
        "QUEUE_URL_FORMAT": f"{base}/fal/queue/",
        "REALTIME_URL_FORMAT": f"ws{base.removeprefix('http')}/fal/",
        "REST_URL": f"{base}/fal/rest",
        "CDN_URL": f"{base}/fal/cdn",
        "FAL_CDN_FALLBACK_URL": f"{base}/fal/cdn",
    }


#: Some releases have it, others do not. Any other name that is missed would leave calls going to fal, with the gateway's key.
OPTIONAL = {"FAL_CDN_FALLBACK_URL"}


def use(server: str, key: str) -> None:
    """Lead every call of fal-client in this process to a gateway: run, queue, stream and uploads, over https or plain http.

    `server` as in `http://localhost:5000`; `key` is a key of the gateway, which takes FAL_KEY's place. Raises ModuleNotFoundError without
    fal-client, RuntimeError for a release whose addresses are kept elsewhere, ValueError for what is no address; then nothing is changed.
    """
    found = places(server)
    try:
        import fal_client  # noqa: PLC0415 - only who calls this needs it
        import fal_client.client as kept  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        text = f"imagegen.fal.use leads fal-client to a gateway, and fal-client is not complete here ({exc}): pip install fal-client"
        raise ModuleNotFoundError(text, name=exc.name) from exc
    if missed := sorted(name for name in found if name not in OPTIONAL and not hasattr(kept, name)):
        raise RuntimeError(f"This fal-client keeps its addresses elsewhere than imagegen knows: it has no {', '.join(missed)}")
    for name, address in found.items():
        if hasattr(kept, name):
            setattr(kept, name, address)
    os.environ["FAL_KEY"] = key
    os.environ.pop("FAL_FORCE_AUTH_BY_USER", None)  # It would send what `fal auth login` has left instead of the key.
    for client in (fal_client.sync_client, fal_client.async_client):
        _forget(client)


def _forget(client: object) -> None:
    """Drop what the module's own client has kept of calls before: connections with another key."""
    for name in [name for name in vars(client) if name.startswith("_")]:
        del vars(client)[name]
