"""The `imagegen` command: a client of the gateway's HTTP API, and of nothing else of it.

Only httpx, click, rich and the standard library may be imported here: it must work on a machine that has no part of the service. Beside it
stands `imagegen.fal`, which leads fal's own Python client to the gateway.
"""

__version__ = "0.1.0"
