"""Who is behind an id, for people: the address of a user, the name of a key."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from app.stores.accounts import AccountStore, KeyStore

USER, KEY = "user:", "key:"


@define(eq=False, slots=False, kw_only=True)
class Names:
    _accounts: AccountStore
    _keys: KeyStore

    def of(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of users and keys (`user:<id>`, `key:<id>`); what has none, or is neither, is left out."""
        wanted = set(ids)
        users = [each.removeprefix(USER) for each in wanted if each.startswith(USER)]
        keys = [each.removeprefix(KEY) for each in wanted if each.startswith(KEY)]
        found = {USER + account.id: account.email for account in self._accounts.of(users) if account.email} if users else {}
        return found | ({KEY + key.id: key.name for key in self._keys.of(keys)} if keys else {})
