"""Agents as they are: the official SDK's client, over HTTP and over `imagegen mcp`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

T = TypeVar("T")
Talk = Callable[[Client], Awaitable[T]]


def over_http(url: str, talk: Talk[T], *, headers: dict[str, str] | None = None, mode: str = "auto") -> T:
    """Connect to `url`, let `talk` do what it does, and return what it returns."""

    async def run() -> T:
        async with (
            httpx2.AsyncClient(headers=headers or {}, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            return await talk(client)

    return asyncio.run(run())


def over_stdio(talk: Talk[T], *, env: dict[str, str], mode: str = "auto") -> T:
    """The same through the bridge, as an agent's program starts it."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "imagegen", "mcp"], env=env)

    async def run() -> T:
        async with Client(server, mode=mode) as client:
            return await talk(client)

    return asyncio.run(run())


def called(name: str, /, **arguments: Any) -> Talk[CallToolResult]:
    async def talk(client: Client) -> CallToolResult:
        return await client.call_tool(name, arguments)

    return talk


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")
