"""Pictures to files: names from a template, downloads that are whole or not there, and nothing overwritten unasked."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from imagegen.gateway import pause_s
from imagegen.outcomes import WrongCall

PLACEHOLDERS = ("index", "jobId", "model", "row")
#: What a file is called where nobody says.
USUAL_NAME, USUAL_ROW_NAME = "{model}-{jobId}-{index}", "{row}-{model}-{jobId}-{index}"
#: A value in a file's name is cut here: file systems take 255 bytes.
LONGEST_VALUE = 48
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp"}
ALIKE = {".jpeg": ".jpg", ".jpe": ".jpg"}
TRIES = 4
TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class DownloadFailed(Exception):
    """A picture could not be fetched; it stays in the server's storage."""


def template_of(output: str, usual: str) -> str:
    """Return a template that means the same from any folder; a folder gets the usual name in it. Raises WrongCall for what is none."""
    if not output.strip() or output == "-":
        raise WrongCall(f"-o {output!r}: pictures go to files; give a file name or a folder")
    path = Path.cwd() / Path(output).expanduser()
    return str(path / usual if output.endswith("/") or path.is_dir() else path)


def placeholders_of(template: str) -> set[str]:
    return set(PLACEHOLDER.findall(template))


def check_template(template: str, *, most_images: int = 1, rows: int | None = None, columns: Collection[str] = ()) -> None:
    """Raise WrongCall for a template that would give two pictures the same name. `rows` of a batch; else None."""
    names = placeholders_of(template)
    allowed = [name for name in PLACEHOLDERS if name != "row" or rows is not None] + sorted({*columns} - {*PLACEHOLDERS})
    if wrong := sorted(names - set(allowed)):
        raise WrongCall(f"{template!r}: {{{wrong[0]}}} is unknown; use {', '.join(f'{{{name}}}' for name in allowed)}")
    if most_images > 1 and "index" not in names:
        raise WrongCall(f"{most_images} images need {{index}} in the file name, such as {_with(template, 'index')}")
    if (rows or 1) > 1 and not names & {"row", "jobId", *columns}:
        raise WrongCall(f"{rows} rows need {{row}} or {{jobId}} in the file name, such as {_with(template, 'row')}")


def _with(template: str, name: str) -> str:
    path = Path(template)
    return str(path.with_name(f"{path.stem}-{{{name}}}{path.suffix}"))


def target(template: str, values: Mapping[str, str | int]) -> Path:
    """Fill in a template. A value never adds a folder of its own, nor what no name may have."""
    plain = {name: _in_a_name(str(value)) for name, value in values.items()}
    return Path(PLACEHOLDER.sub(lambda match: plain.get(match[1], match[0]), template)).expanduser()


def _in_a_name(value: str) -> str:
    plain = "".join("_" if char in "/\\" or not char.isprintable() else char for char in value.strip())
    return plain[:LONGEST_VALUE].rstrip() if plain.strip(".") else "_"


def with_real_extension(path: Path, content_type: str) -> Path:
    """Return the path with the extension of what the picture is, which is not always what was asked for."""
    real = EXTENSIONS.get(content_type)
    given = path.suffix.lower()
    if real is None or ALIKE.get(given, given) == real:
        return path
    # "v1.5" has no extension: what is not one of a picture is part of the name.
    return path.with_suffix(real) if given in {*EXTENSIONS.values(), *ALIKE} else path.with_name(path.name + real)


def is_at(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


class Downloads:
    """Fetches pictures without any credential: links may lead to another host."""

    def __init__(self, *, transport: httpx.BaseTransport | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = httpx.Client(timeout=TIMEOUT, follow_redirects=True, transport=transport)
        self._sleep = sleep

    def close(self) -> None:
        self._http.close()

    def fetch(self, image: Mapping[str, Any], path: Path, *, partial: str, force: bool) -> Path:
        """Write a picture to `path` and return where it is: a free name beside it where another file was there first.

        It is streamed to the hidden file `partial` in the same folder, and gets its name when its SHA-256 is right. Raises DownloadFailed.
        """
        temporary = path.with_name(partial)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._try(image, temporary)
            return _placed(temporary, path, force=force)
        except OSError as exc:
            raise DownloadFailed(f"{path} cannot be written: {exc.strerror}") from exc
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _try(self, image: Mapping[str, Any], path: Path) -> None:
        for tries in range(1, TRIES + 1):
            try:
                return self._stream(image, path)
            except (httpx.HTTPError, httpx.InvalidURL, _Damaged) as exc:
                if tries == TRIES:
                    raise DownloadFailed(f"The picture could not be fetched: {exc or type(exc).__name__}") from exc
            self._sleep(pause_s(tries))
        return None

    def _stream(self, image: Mapping[str, Any], path: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with self._http.stream("GET", image["url"]) as response, path.open("wb") as file:
            if response.status_code != 200:
                raise _Damaged(f"HTTP {response.status_code}")
            for chunk in response.iter_bytes():
                digest.update(chunk)
                size += len(chunk)
                if size > image["sizeBytes"]:
                    raise _Damaged("more bytes came than the picture has")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != image["sha256"]:
            raise _Damaged("its SHA-256 is not that of the picture")


class _Damaged(Exception):
    pass


def _placed(temporary: Path, path: Path, *, force: bool) -> Path:
    if force:
        temporary.replace(path)
        return path
    number = 1
    while True:
        free = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            # A link fails where the name is taken, even since a moment ago; a rename would overwrite.
            free.hardlink_to(temporary)
            return free
        except FileExistsError:
            number += 1
        except OSError:  # A file system without links.
            if not free.exists():
                temporary.replace(free)
                return free
            number += 1
