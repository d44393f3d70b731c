"""What a tool is: its words for agents, its arguments and answers as JSON Schema, and what comes of a call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import marshmallow as ma
from apispec import APISpec
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from app.api.http.answers import Answer
from app.api.http.auth import Caller
from app.api.http.requests import BodySchema, refusal_of
from app.domain.api_key import Scope
from app.domain.errors import Forbidden, GatewayError
from app.domain.job import Job
from registry.params import known_params
from registry.table import did_you_mean


class Arguments(BodySchema):
    """The base of all tools' arguments: a misplaced or misspelled name is refused, and the refusal says what was probably meant."""

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> None:
        if not isinstance(error.messages, dict):
            return
        for name in set(error.messages) - {known.data_key or key for key, known in self.fields.items()}:
            is_models = "options" in self.fields and name in known_params()
            hint = " It belongs in 'options'." if is_models else did_you_mean(str(name), self.fields)
            error.messages[name] = [f"{text}{hint}" for text in error.messages[name]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a call gives: `shown` for programs (as the tool's answer says), `text` for whoever reads, and pictures or links beside it.

    `error` in place of `shown` where the call was refused or failed: the one error body.
    """

    text: str
    shown: Mapping[str, Any] | None = None
    beside: Iterable[Mapping[str, Any]] = ()
    error: Mapping[str, Any] | None = None
    is_error: bool = False

    def as_answer(self) -> dict[str, Any]:
        """Return it as `tools/call` answers."""
        answer: dict[str, Any] = {"content": [{"type": "text", "text": self.text}, *self.beside]}
        if self.shown is not None:
            answer["structuredContent"] = self.shown
        if self.error is not None:
            answer["_meta"] = {"error": self.error}
        return answer | ({"isError": True} if self.is_error or self.error is not None else {})


@dataclass(frozen=True)
class Wait:
    """A result that a job is waited for: by `wait`, without any context, and then made by `result`."""

    wait: Callable[[], Job]
    result: Callable[[Job], Result]

    def quietly(self) -> Job | GatewayError:
        try:
            return self.wait()
        except GatewayError as exc:
            return exc


@dataclass(frozen=True, kw_only=True)
class Tool:
    title: str
    scope: Scope
    arguments: type[Arguments]
    answer: type[Answer]
    call: Callable[[dict[str, Any]], Result | Wait]
    hints: Mapping[str, bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.call.__name__

    def is_for(self, who: Caller) -> bool:
        try:
            who.require_scope(self.scope)
        except Forbidden:
            return False
        return True

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Return it as `tools/list` shows it."""
        text = " ".join((self.call.__doc__ or "").split())
        return {
            "name": self.name,
            "title": self.title,
            "description": text,
            "inputSchema": json_schema(self.arguments),
            "outputSchema": json_schema(self.answer),
            "annotations": {"title": self.title, **self.hints},
        }

    def loaded(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked arguments. Raises InvalidRequest naming everything that is wrong."""
        try:
            loaded: dict[str, Any] = self.arguments().load(arguments)
        except ma.ValidationError as exc:
            raise refusal_of(ma.ValidationError({"arguments": exc.messages})) from exc
        return loaded


def tool(
    title: str, scope: Scope, arguments: type[Arguments], answer: type[Answer], **hints: bool
) -> Callable[[Callable[[dict[str, Any]], Result | Wait]], Tool]:
    """Make a tool of a function; its docstring is what agents read. `hints` are the protocol's annotations."""

    def made(call: Callable[[dict[str, Any]], Result | Wait]) -> Tool:
        return Tool(title=title, scope=scope, arguments=arguments, answer=answer, call=call, hints=hints)

    return made


def json_schema(schema: type[ma.Schema]) -> dict[str, Any]:
    """Return a schema as JSON Schema 2020-12, whole: agents' programs do not follow references."""
    converter = OpenAPIConverter("3.1.0", schema_name_resolver=lambda _: None, spec=APISpec("", "", "3.1.0"))
    found: dict[str, Any] = converter.schema2jsonschema(schema())  # type: ignore[no-untyped-call]
    return {"type": "object", "properties": {}, **found}
