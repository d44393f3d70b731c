"""Images in a request: kept as uploads on the way in, made reachable for fal on the way out."""

from __future__ import annotations

import base64
import binascii
import copy
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from attrs import define

from app.clients.storage import Storage
from app.domain.asset import REFERENCE_PREFIX, Upload
from app.domain.errors import FieldError, InvalidRequest, NotAnImage, NotFound, QuotaExceeded, TooLarge
from app.domain.job import Job
from app.services.orders.order import PricedOrder
from app.services.people.uploads import ANY_SIDE, Uploads


@define(eq=False, slots=False, kw_only=True)
class References:
    _uploads: Uploads
    _storage: Storage

    def kept(self, priced: PricedOrder, *, new: list[Upload]) -> PricedOrder:
        """Store the data URIs of an order as uploads and check that the uploads it names are its user's.

        Documents then hold `upload:<id>` and stay small. What is stored just now is added to `new`, for an order that is refused in the
        end. Raises InvalidRequest naming the image that cannot be used, or QuotaExceeded; all in `new` are taken back then.
        """
        checked = priced.checked
        arguments, inputs, options = (copy.deepcopy(dict(d)) for d in (checked.arguments, checked.inputs, checked.options))
        for pointer in checked.image_inputs:
            value = _at(arguments, pointer)
            if not value.startswith(("data:", REFERENCE_PREFIX)):
                continue
            try:
                kept = REFERENCE_PREFIX + self._upload_of(priced.order.user_id, value, new).id
            except QuotaExceeded:
                self.discard(new)
                raise
            except (NotAnImage, NotFound, TooLarge) as exc:
                self.discard(new)
                raise InvalidRequest(exc.message, [FieldError("/inputs" + pointer, exc.message)]) from exc
            for target in (arguments, inputs, options):
                _put(target, pointer, kept)
        return replace(priced, checked=replace(checked, arguments=arguments, inputs=inputs, options=options))

    def discard(self, new: Iterable[Upload]) -> None:
        """Take back uploads that `kept` has just stored."""
        for upload in new:
            self._uploads.discard_new(upload)

    def for_provider(self, job: Job) -> dict[str, Any]:
        """Return the job's arguments with links or bytes that fal can read in place of uploads. Raises NotFound for a deleted one."""
        arguments = copy.deepcopy(job.arguments)
        for pointer in job.image_pointers:
            value = _at(arguments, pointer)
            if value.startswith(REFERENCE_PREFIX):
                upload = self._uploads.get(value.removeprefix(REFERENCE_PREFIX), user_id=job.user_id)
                _put(arguments, pointer, self._reachable(upload))
        return arguments

    def _upload_of(self, user_id: str, value: str, new: list[Upload]) -> Upload:
        """Return the upload that a value names or holds; one that was stored just now is added to `new`."""
        if value.startswith(REFERENCE_PREFIX):
            return self._uploads.used(value.removeprefix(REFERENCE_PREFIX), user_id=user_id)
        kept = self._uploads.keep(user_id, io.BytesIO(bytes_of(value)), sides=ANY_SIDE, for_order=True)
        if kept.is_new:
            new.append(kept.upload)
        return kept.upload

    def _reachable(self, upload: Upload) -> str:
        if url := self._storage.provider_url(upload.key):
            return url
        with self._storage.open(upload.key) as file:
            content = base64.b64encode(file.read()).decode("ascii")
        return f"data:{upload.content_type};base64,{content}"


def bytes_of(data_uri: str) -> bytes:
    """Return what a base64 data URI holds. Raises NotAnImage."""
    try:
        return base64.b64decode(data_uri.partition(",")[2], validate=True)
    except binascii.Error as exc:
        raise NotAnImage("The data URI is not valid base64") from exc


def _at(document: Any, pointer: str) -> str:
    for part in pointer.split("/")[1:]:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return str(document)


def _put(document: Any, pointer: str, value: str) -> None:
    """Set what a pointer names, where the document has it."""
    *path, last = pointer.split("/")[1:]
    for part in path:
        if isinstance(document, list):
            document = document[int(part)]
        elif part in document:
            document = document[part]
        else:
            return
    if isinstance(document, list):
        document[int(last)] = value
    elif last in document:
        document[last] = value
