"""Turns what was typed into the search box into a filter: addresses become users, names keys, fal's ids jobs."""

from __future__ import annotations

from typing import Any

from attrs import define

from app.domain.job_search import parsed, refused
from app.stores.accounts import AccountStore, KeyStore
from app.stores.jobs import JobStore

#: Stands for what does not exist: no job has this id.
NOTHING = "none"


@define(eq=False, slots=False, kw_only=True)
class Search:
    _jobs: JobStore
    _accounts: AccountStore
    _keys: KeyStore

    def filters(self, text: str, *, knows_people: bool) -> dict[str, Any]:
        """Return the fields of a JobFilter that a search means. Raises InvalidRequest for one that means nothing.

        `knows_people`: only administrators may learn which user an address belongs to, and what a key is called.
        """
        search = parsed(text)
        found: dict[str, Any] = {"words": search.words}
        if search.statuses:
            found |= {"statuses": search.statuses} if len(search.statuses) > 1 else {"status": search.statuses[0]}
        for name, value in search.named.items():
            found |= self._named(name, value, found, knows_people=knows_people)
        return found

    def _named(self, name: str, value: str, found: dict[str, Any], *, knows_people: bool) -> dict[str, Any]:
        if name == "user":
            return {"user_id": self._users(value) if knows_people else value}
        if name == "key":
            return {"key_ids": self._key_ids(value) if knows_people else (value,)}
        if name in ("model", "code"):
            return {name: value}
        if name == "batch":
            return {"batch_id": value.lower()}
        if "job_id" in found:
            raise refused("`id:` and `fal:` both name one job; use one of them.")
        return {"job_id": value.lower() if name == "id" else self._job_of(value)}

    def _users(self, value: str) -> str | tuple[str, ...]:
        """Return the user of an address; a script may have named its own user by the same, so both are meant."""
        account = self._accounts.by_address(value) if "@" in value else None
        return (value, account[0].id) if account else value

    def _key_ids(self, value: str) -> tuple[str, ...]:
        return (value, *(key.id for key in self._keys.named(value)))

    def _job_of(self, request_id: str) -> str:
        job = self._jobs.by_request_id(request_id)
        return job.id if job else NOTHING
