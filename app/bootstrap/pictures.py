"""Pictures that come in: what is uploaded, and what a request refers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.bootstrap.foundation import Foundation
from app.services.fulfilment.unreadable import Unreadable
from app.services.orders.references import References
from app.services.people.uploads import MEGABYTE, Uploads


@dataclass(frozen=True)
class Pictures:
    uploads: Uploads
    references: References
    unreadable: Unreadable


def build_pictures(foundation: Foundation, offload: Callable[..., Any]) -> Pictures:
    storage = foundation.clients.storage
    quota_bytes = int(foundation.settings.upload_quota_mb * MEGABYTE)
    uploads = Uploads(store=foundation.stores.uploads, storage=storage, quota_bytes=quota_bytes, offload=offload)
    return Pictures(uploads=uploads, references=References(uploads=uploads, storage=storage), unreadable=Unreadable(storage=storage))
