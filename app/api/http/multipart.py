"""One uploaded file of a multipart request. werkzeug keeps files above 500 kB in nameless temporary files, which end with the request."""

from __future__ import annotations

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.http.bodies import end_chunked_body
from app.domain.errors import FieldError, InvalidRequest, TooLarge
from app.services.people.uploads import MAX_UPLOAD_BYTES

#: Room for the other fields and the parts' headers.
MAX_MULTIPART_BYTES = MAX_UPLOAD_BYTES + 1024 * 1024


def uploaded_file(request: Request, *names: str) -> FileStorage | None:
    """Return the one file in a multipart body under any of the names; None where there is none, or the body is of another kind.

    Call it before anything else reads the body: it is what keeps a too large one from being read whole. Raises TooLarge above 11 MB, and
    InvalidRequest naming the fields where more than one file is given. A file field left empty in a browser counts as none.
    """
    if request.mimetype != "multipart/form-data":
        return None
    limit_body(request)
    try:
        given = [(name, file) for name in names for file in request.files.getlist(name) if not _is_empty(file)]
        texts = [name for name in names if request.form.get(name)]
    except RequestEntityTooLarge as exc:
        raise TooLarge("The request is too large: an image may have 10MB") from exc
    if texts:
        detail = "Send the image as a file, not as text."
        raise InvalidRequest(f"{texts[0]}: {detail}", [FieldError(f"/{name}", detail) for name in texts])
    if len(given) > 1:
        detail = "Send one image only."
        fields = dict.fromkeys(name for name, _ in given)
        raise InvalidRequest(f"{', '.join(fields)}: {detail}", [FieldError(f"/{name}", detail) for name in fields])
    return given[0][1] if given else None


def limit_body(request: Request) -> None:
    """Let reading this request's body end with RequestEntityTooLarge above 11 MB, whether or not its length is announced."""
    request.max_content_length = MAX_MULTIPART_BYTES
    end_chunked_body(request)


def _is_empty(file: FileStorage) -> bool:
    if file.filename:
        return False
    empty = not file.stream.read(1)
    file.stream.seek(0)
    return empty
