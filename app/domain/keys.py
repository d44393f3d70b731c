"""Storage keys. A user id may hold any characters: none of them leaves the user's folder."""

from __future__ import annotations

import hashlib
import secrets
from datetime import date
from urllib.parse import quote

MAX_FOLDER_CHARS = 200


def user_folder(user_id: str) -> str:
    """Return a folder name of its own for each user id: percent-quoted, dots too; very long ones by their hash."""
    folder = quote(user_id, safe="").replace(".", "%2E")
    if len(folder) > MAX_FOLDER_CHARS:
        return "sha256-" + hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return folder


def job_folder(user_id: str, job_id: str) -> str:
    return f"generated-images/{user_folder(user_id)}/{job_id}"


def generated_image(user_id: str, job_id: str, number: int, extension: str) -> str:
    return f"{job_folder(user_id, job_id)}/image_{number}.{extension}"


def thumbnail(key: str, size: int) -> str:
    """Return where a generated picture's thumbnail is: in the job's own folder, so that it goes when that goes."""
    return f"{key}.{size}.webp"


def job_of(key: str) -> str | None:
    """Return the job that a generated picture's key tells of; None for any other key."""
    parts = key.split("/")
    return parts[2] if len(parts) == 4 and parts[0] == "generated-images" else None


def uploaded_image(user_id: str, sha256: str, extension: str) -> str:
    """Return what an upload goes by in the database: its content, so that the same picture is stored once per user."""
    return f"uploads/{user_folder(user_id)}/{sha256}.{extension}"


def upload_object(user_id: str, extension: str) -> str:
    """Return a fresh key for an upload. It is random: who knows the picture, or who sent it, does not know where it is."""
    return f"uploads/{user_folder(user_id)}/{secrets.token_urlsafe(24)}.{extension}"


def unreadable_folder(day: date) -> str:
    """Return where a day's unreadable files are: a folder a day, so that the old ones are found without walking over all."""
    return f"unreadable/{day.isoformat()}"


def unreadable_file(day: date, job_id: str, number: int) -> str:
    return f"{unreadable_folder(day)}/{job_id}_{number}.bin"
