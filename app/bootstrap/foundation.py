"""What every area stands on: the settings, the models, the stores, the clients, and how a job's progress is told and timed."""

from __future__ import annotations

from dataclasses import dataclass

from app.bootstrap.catalog import Catalog, build_catalog
from app.bootstrap.clients import Clients, build_clients
from app.bootstrap.stores import Stores, build_stores
from app.config import Settings
from app.domain.job import Patience
from app.services.events.announcements import Announcer
from app.services.fulfilment.stages import StageTimes


@dataclass(frozen=True)
class Foundation:
    settings: Settings
    patience: Patience
    catalog: Catalog
    stores: Stores
    clients: Clients
    announcer: Announcer
    stages: StageTimes


def build_foundation(settings: Settings) -> Foundation:
    """Return what the areas share. Raises RegistryError."""
    catalog = build_catalog(settings)
    patience = Patience(unknown_s=settings.submit_unknown_seconds)
    stores = build_stores(settings, patience)
    clients = build_clients(settings)
    return Foundation(
        settings=settings,
        patience=patience,
        catalog=catalog,
        stores=stores,
        clients=clients,
        announcer=Announcer(clients.publisher, clients.storage),
        stages=StageTimes(clients.metrics),
    )
