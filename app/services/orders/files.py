"""Orders whose pictures come along as files: each becomes an upload of its user, which the order then names."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Any

from attrs import define

from app.domain.asset import REFERENCE_PREFIX, Upload
from app.domain.errors import CallerError, FieldError, NotAnImage, TooLarge
from app.pictures.masks import white_where_transparent
from app.services.orders.order import Order
from app.services.orders.submit import Accepted, Orders
from app.services.people.uploads import ANY_SIDE, MAX_UPLOAD_BYTES, Uploads

#: Stands for a picture while an order is checked, before anything is stored for it.
UNNAMED = REFERENCE_PREFIX + "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class File:
    """A picture as it came, in the place of an input's value or of one in a list."""

    stream: IO[bytes]
    name: str | None = None


@dataclass(frozen=True)
class Mask(File):
    """Of the order's first picture, transparent where that is to be changed; `white`: the model wants these places white instead."""

    white: bool = True


@define(eq=False, slots=False, kw_only=True)
class FileOrders:
    _orders: Orders
    _uploads: Uploads
    _offload: Callable[..., Any]

    def submit(self, order: Order) -> Accepted:
        """Accept an order as `Orders.submit` does, once its files are kept; of one that is refused none is.

        Raises NotAnImage or TooLarge naming the input besides.
        """
        if replayed := self._orders.replayed(order.key):
            return replayed
        self._orders.check(replace(order, inputs=_with_files(order.inputs, lambda _pointer, _file: UNNAMED)))
        kept: list[Upload] = []
        new: list[Upload] = []
        try:
            inputs = _with_files(order.inputs, lambda pointer, file: self._kept(order.user_id, pointer, file, kept, new))
            return self._orders.submit(replace(order, inputs=inputs))
        except CallerError:
            for upload in new:
                self._uploads.discard_new(upload)
            raise

    def _kept(self, user_id: str, pointer: str, file: File, kept: list[Upload], new: list[Upload]) -> str:
        """Store a file and return what the order calls it; what was stored just now is added to `new`."""
        try:
            stored = self._uploads.keep(user_id, self._content(file), sides=ANY_SIDE, file_name=file.name, for_order=True)
        except NotAnImage as exc:
            raise NotAnImage(exc.message, [FieldError(pointer, exc.message)]) from exc
        if stored.is_new:
            new.append(stored.upload)
        if isinstance(file, Mask) and kept and (kept[0].width, kept[0].height) != (stored.upload.width, stored.upload.height):
            message = f"The mask must be as large as the first image: {kept[0].width}x{kept[0].height} pixels"
            raise NotAnImage(message, [FieldError(pointer, message)])
        kept.append(stored.upload)
        return REFERENCE_PREFIX + stored.upload.id

    def _content(self, file: File) -> IO[bytes]:
        if not isinstance(file, Mask) or not file.white:
            return file.stream
        file.stream.seek(0)
        content = file.stream.read(MAX_UPLOAD_BYTES + 1)
        if len(content) > MAX_UPLOAD_BYTES:
            raise TooLarge("The mask is larger than 10MB")
        return io.BytesIO(self._offload(white_where_transparent, content))


def _with_files(inputs: Any, named: Callable[[str, File], str]) -> dict[str, Any]:
    """Return inputs with what `named` calls each file in its place."""
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, list):
            found[name] = [named(f"/inputs/{name}/{i}", item) if isinstance(item, File) else item for i, item in enumerate(value)]
        else:
            found[name] = named(f"/inputs/{name}", value) if isinstance(value, File) else value
    return found
