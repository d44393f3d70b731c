"""`imagegen fal-env`: the environment that leads fal's own Python client to the gateway, for scripts that are not to be touched."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from imagegen.outcomes import WrongCall
from imagegen.session import Session, with_session
from imagegen.showing import emit, say

HTTPS_ONLY = (
    "By its environment fal-client goes to https only, and {server} is not. Put a TLS proxy before the gateway, or lead the script from "
    "within: import imagegen.fal; imagegen.fal.use({server!r}, KEY)"
)


@click.command("fal-env", short_help="Print what leads fal's Python client here.")
@click.option(
    "--ca-file",
    envvar="SSL_CERT_FILE",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="The authorities to trust, in place of the usual ones.  [SSL_CERT_FILE]",
)
@with_session
def fal_env(session: Session, *, ca_file: Path | None) -> int:
    """Print what leads fal's Python client here: eval "$(imagegen fal-env --server https://...)". Uploads still go to fal."""
    if not session.server.startswith("https://"):
        raise WrongCall(HTTPS_ONLY.format(server=session.server))
    if not (key := session.key or session.token):
        # Without it the script's own FAL_KEY, which pays at fal, would be shown to the gateway.
        raise WrongCall("Say with which key the gateway is to be called: --key or IMAGEGEN_KEY")
    place = f"{session.server.removeprefix('https://')}/fal"
    variables = {"FAL_RUN_HOST": place, "FAL_QUEUE_RUN_HOST": f"{place}/queue", "FAL_KEY": key.strip()}
    if ca_file:
        variables["SSL_CERT_FILE"] = str(ca_file)
    if session.as_json:
        emit(variables)
    else:
        for name, value in variables.items():
            say(f"export {name}={shlex.quote(value)}")
    return 0
