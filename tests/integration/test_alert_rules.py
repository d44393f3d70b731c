"""deploy/prometheus/alerts.yml can be parsed, asks for what /metrics has, and leads to paragraphs that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.bootstrap import Services
from app.clients.lease import Lease
from app.services.operator import warnings
from tests.support.services import with_parts
from tests.unit.test_docs import anchors_of

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs/operations.md"
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
BY_NAME = pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
ROW = re.compile(r"^\| (?P<names>`imagegw_[^|]*)\|(?P<labels>[^|]*)\|", re.MULTILINE)


def selectors_of(expression: Any) -> Iterator[promql.VectorSelector]:
    """Yield what an expression asks for, wherever it stands."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs", "args"):
        inner = getattr(expression, name, None)
        for each in inner if isinstance(inner, list) else [inner] * (inner is not None):
            yield from selectors_of(each)


def documented() -> dict[str, set[str]]:
    """Return the labels of each metric, as docs/operations.md lists them."""
    rows = ROW.finditer(OPERATIONS.read_text("utf-8"))
    return {name: set(re.findall(r"`(\w+)`", row["labels"])) for row in rows for name in re.findall(r"`(\w+)`", row["names"])}


@BY_NAME
def test_a_rule_is_whole_and_leads_to_its_paragraph(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")

    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["annotations"]["summary"].endswith(("?", "."))
    assert (ROOT / page) == OPERATIONS
    assert anchor in anchors_of(OPERATIONS)


@BY_NAME
def test_a_rule_asks_for_metrics_by_labels_that_the_documents_name(rule: dict[str, Any]) -> None:
    asked = list(selectors_of(promql.parse(rule["expr"])))

    assert asked
    for selector in asked:
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= documented()[selector.name], selector


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS) >= 10


def test_the_documents_list_the_metrics_that_there_are_and_no_others(services: Services) -> None:
    served = with_parts(services, status_now=attrs.evolve(services.status_now, fal_limit=2))
    Lease(served.redis).renew()
    client = create_app(served.settings, served).test_client()
    client.get("/healthz")

    families = list(text_string_to_metric_families(client.get("/metrics").text))

    counted = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert {name for name in counted if name.startswith("imagegw_") and not name.endswith("_created")} == documented().keys()


def test_the_status_leads_to_paragraphs_that_exist_as_well() -> None:
    anchors = {value for name, value in vars(warnings).items() if name.isupper() and isinstance(value, str) and "/" not in value}

    assert len(anchors) >= 6
    assert anchors <= anchors_of(OPERATIONS)
