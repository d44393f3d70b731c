"""`python -m app registry …`: the model files beside what fal has."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from app.bootstrap import open_platform, open_registry
from app.domain import clock
from app.domain.pricing import losses
from app.operator.running import console, settings
from app.services.catalog.model_import import draft_model, usual_name
from app.services.catalog.registry_drift import find_drift


@click.group()
def registry() -> None:
    """Model files, and what fal says of its models."""


@registry.command("check")
@click.option("--model", "name", help="Only this model.")
def check(name: str | None) -> None:
    """Compare prices, endpoints and parameters with fal's; exit 1 where they differ."""
    chosen = settings()
    models = open_registry(chosen)
    specs = [spec for spec in models if name in (None, spec.name)]
    if not specs:
        raise click.UsageError(f"There is no model {name!r}. Models: {', '.join(models.names)}")
    found = find_drift(specs, open_platform(chosen), clock.now())
    shown = track(found, "Models", len(specs), console=Console(stderr=True), transient=True, disable=not console.is_terminal)
    drifts = [drift for drifts in shown for drift in drifts]
    if drifts:
        table = Table("model", "what", "ours", "fal's")
        for drift in drifts:
            # As Text: what fal says is no markup, and brackets in it must stay.
            table.add_row(*(Text(cell) for cell in (drift.model, drift.where, drift.ours, drift.fals)))
        console.print(table)
    for spec in specs:
        for loss in losses(spec, clock.now()):
            click.echo(f"{spec.name} may cost more than is charged: it {loss}", err=True)
    click.echo(f"{len(specs)} models checked, {len(drifts)} differences")
    if drifts:
        raise click.exceptions.Exit(1)


def _usd(_context: click.Context, _option: click.Parameter, text: str | None) -> Decimal | None:
    try:
        amount = None if text is None else Decimal(text)
    except InvalidOperation as exc:
        raise click.BadParameter("give USD, such as 0.05") from exc
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise click.BadParameter("give USD, such as 0.05")
    return amount


@registry.command("import")
@click.argument("endpoint")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File NAME.toml, or a folder, which is made; else standard output.")
@click.option("--name", help="Name of the model; that of the file, else of the endpoint, unless given.")
@click.option("--cost-per-image", "per_image", callback=_usd, help="Price in USD, in the place of fal's own.")
def import_model(endpoint: str, output: Path | None, name: str | None, per_image: Decimal | None) -> None:
    """Write the model file of a fal ENDPOINT, such as fal-ai/flux/dev."""
    is_file = output is not None and output.suffix != "" and not output.is_dir()
    name = name or (output.stem if output and is_file else usual_name(endpoint))
    if usual_name(f"/{name}") != name or not name:
        raise click.UsageError(f"{name!r} cannot name a model; give a --name of letters, digits, dot, dash and underscore")
    target = output / f"{name}.toml" if output and not is_file else output
    if target and target.name != f"{name}.toml":
        raise click.UsageError(f"A model is named by its file: write it to {name}.toml")
    if target and target.exists():
        raise click.UsageError(f"{target} exists already; remove it or choose another --name")
    chosen = settings()
    if open_registry(chosen).get(name):
        raise click.UsageError(f"There is a model {name!r} already; choose another --name")
    draft = draft_model(open_platform(chosen), endpoint, name=name, per_image=per_image, today=clock.now().astimezone(UTC).date())
    if target is None:
        click.echo(draft.text, nl=False)
    else:
        _write(target, draft.text)
    if draft.example is not None:
        click.echo(f"Accepts for example: {json.dumps(draft.example, ensure_ascii=False)}", err=True)


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as exc:
        raise click.ClickException(f"{target} cannot be written: {exc.strerror}") from exc
    click.echo(f"Written to {target}", err=True)
