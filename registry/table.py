"""Typed, strict reading of TOML tables: every fault is a RegistryError that names file and key."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from registry.spec import RegistryError

_PROJECT = Path(__file__).resolve().parent.parent


def shown(path: Path) -> str:
    """Return the path as error texts name it: relative for the files that ship with the project."""
    full = path.resolve()
    return str(full.relative_to(_PROJECT)) if full.is_relative_to(_PROJECT) else str(path)


def read_toml(path: Path) -> "Table":
    """Parse a file with exact decimals. Raises RegistryError when it is missing, not UTF-8 or not TOML."""
    try:
        return Table(tomllib.loads(path.read_text("utf-8"), parse_float=Decimal), shown(path))
    except OSError as exc:
        raise RegistryError(shown(path), "", f"cannot be read ({exc.strerror}); check the path and its permissions") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise RegistryError(shown(path), "", f"is not valid TOML: {exc}") from exc


def plain(value: Any) -> Any:
    """Turn a TOML value into a JSON one: decimals become floats, everywhere inside."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for a near miss, else an empty string."""
    close = difflib.get_close_matches(name[:100], list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


class Table:
    """One table of a file; remembers which keys were read, so `finish` can refuse the rest."""

    def __init__(self, values: Mapping[str, Any], file: str, path: str = "") -> None:
        self.values = values
        self.file = file
        self.path = path
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fail(self, key: str, reason: str) -> RegistryError:
        return RegistryError(self.file, self._key(key), reason)

    def finish(self) -> None:
        """Raise for the first key nobody asked for."""
        for key in self.values:
            if key not in self._read:
                known = ", ".join(sorted(self._read))
                raise self.fail(key, f"unknown key.{did_you_mean(key, self._read)} Known here: {known}")

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if value is None:
            raise self.fail(key, "is missing; add it")
        return value

    def optional_text(self, key: str) -> str | None:
        value = self._typed(key, (str,), "a string")
        if value is not None and not value.strip():
            raise self.fail(key, "is empty; give it a value")
        return None if value is None else str(value)

    def integer(self, key: str, *, minimum: int = 0) -> int | None:
        value = self._typed(key, (int,), "an integer")
        if value is not None and value < minimum:
            raise self.fail(key, f"must be at least {minimum}")
        return None if value is None else int(value)

    def number(self, key: str) -> float | None:
        """Return an int or a float: what JSON will carry."""
        value = plain(self._typed(key, (int, Decimal), "a number"))
        if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124 (NaN)
            raise self.fail(key, "must be finite")
        return value  # type: ignore[no-any-return]

    def amount(self, key: str) -> Decimal:
        """Return USD, exact and not negative."""
        value = self._typed(key, (int, Decimal), "a number of USD, such as 0.05")
        if value is None:
            raise self.fail(key, "is missing; give the price in USD")
        amount = Decimal(value)
        if not amount.is_finite() or amount < 0:
            raise self.fail(key, "must be a finite amount of USD, zero or more")
        return amount

    def day(self, key: str) -> date | None:
        value = self._typed(key, (date,), "a date such as 2026-09-24, without quotes")
        if isinstance(value, datetime):
            raise self.fail(key, "must be a date such as 2026-09-24, without a time")
        return None if value is None else date.fromisoformat(value.isoformat())

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of different names; an absent key is an empty list."""
        value = self._typed(key, (list,), "a list of names") or []
        for index, name in enumerate(value):
            if not isinstance(name, str) or not name.strip():
                raise self.fail(f"{key}[{index}]", "must be a name in quotes")
            if name in value[:index]:
                raise self.fail(f"{key}[{index}]", f"'{name}' is declared twice; remove one")
        return tuple(value)

    def table(self, key: str) -> "Table":
        """Return a table inside; an absent key is an empty table."""
        value = self._typed(key, (dict,), "a table")
        return Table(value or {}, self.file, self._key(key))

    def tables(self, key: str) -> list["Table"]:
        """Return the tables of `[[key]]`; an absent key is an empty list."""
        value = self._typed(key, (list,), f"a list of tables, written [[{self._key(key)}]]") or []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.fail(f"{key}[{index}]", "must be a table")
        return [Table(item, self.file, self._key(f"{key}[{index}]")) for index, item in enumerate(value)]

    def raw(self, key: str) -> Any:
        """Return the value as JSON would carry it, unchecked, or None."""
        self._read.add(key)
        return plain(self.values.get(key))

    def _typed(self, key: str, types: tuple[type, ...], wanted: str) -> Any:
        self._read.add(key)
        value = self.values.get(key)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise self.fail(key, f"must be {wanted}")
        return value

    def _key(self, key: str) -> str:
        return ".".join(part for part in (self.path, key) if part)
