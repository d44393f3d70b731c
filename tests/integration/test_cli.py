"""The operator's commands: keys, roles, the proof of the ledger, and their exit codes."""

from __future__ import annotations

import io
import os
import pwd
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain.account import Role
from app.domain.api_key import KeyTerms, OrderLimits, Scope
from app.domain.errors import Unauthorized
from app.services.people.accounts import Accounts
from app.stores.accounts import AccountStore, KeyStore
from app.stores.database import Database
from tests.support.operator import run_command
from tests.support.services import Backing

ROOT = Path(__file__).resolve().parents[2]
KEY = re.compile(r"igk_([0-9a-f]{16})_[\w-]{43}")


class Operator:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_command([*arguments], {**self.environment, **environment})

    def process(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m app` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            env={**self.environment, **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def run(backing: Backing, database: Database, tmp_path: Path) -> Operator:
    return Operator(
        {
            "PATH": os.environ["PATH"],
            "COLUMNS": "200",
            "MONGODB_URI": backing.database_uri(database.name),
            "REDIS_URL": backing.redis_url,
            "STORAGE_URL": tmp_path.as_uri(),
            "FAL_KEY": "test-id:test-secret",
            "JWT_SECRET": "x" * 32,
        }
    )


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(accounts=AccountStore(database), keys=KeyStore(database))


def test_a_key_is_made_as_narrow_as_it_is_asked_for(run: Operator, accounts: Accounts) -> None:
    limits = ["--user=ada", "--user=grace", "--scope=read", "--model=flux-*", "--expires-at=2999-01-31", "--rate-per-minute=60"]
    more = ["--monthly-budget=25.5", "--max-cost-per-order=0.2", "--ip-range=203.0.113.9/24"]

    made = run("keys", "create", "--name", "narrow", *limits, *more)
    wrong = run("keys", "create", "--name", "wrong", "--ip-range=nonsense")
    nobody = [run("keys", "create", "--name", "wrong", option) for option in ("--user= ", "--model=", "--max-cost-per-order=nan")]
    listed = run("keys", "list")

    assert made.returncode == 0, made
    assert accounts.key_of(made.stdout.strip()).terms == KeyTerms(
        users=("ada", "grace"),
        scopes=(Scope.READ,),
        expires_at=datetime(2999, 1, 31, tzinfo=UTC),
        rate_per_minute=60,
        ip_ranges=("203.0.113.0/24",),
        orders=OrderLimits(models=("flux-*",), max_micros=200_000),
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert [(done.returncode, done.stdout) for done in nobody] == [(2, "")] * 3
    assert "max-cost-per-order: Must be from" in nobody[2].stderr
    for limit in ("users: ada, grace", "scopes: read", "models: flux-*", "60", "USD an order: 0.2", "USD a month: 25.5", "203.0.113.0/24"):
        assert limit in listed.stdout


def test_a_key_is_made_listed_and_revoked(run: Operator, accounts: Accounts) -> None:
    made = run.process("keys", "create", "--name", "nightly script")
    found = KEY.fullmatch(made.stdout.strip())
    assert found, made
    text, key_id = found.group(0), found.group(1)
    known = accounts.key_of(text)
    revoked = run("keys", "revoke", key_id)
    listed = run("keys", "list")
    again = run.process("keys", "revoke", key_id)

    assert (made.returncode, known.name) == (0, "nightly script")
    assert "not shown again" in made.stderr
    assert (listed.returncode, key_id in listed.stdout, "nightly script" in listed.stdout) == (0, True, True)
    assert text.split("_", 2)[2] not in listed.stdout
    assert (revoked.returncode, revoked.stdout.strip()) == (0, f"Key {key_id} is revoked")
    assert len(re.findall(r"\dZ", listed.stdout)) == 3, "when it was made, used and revoked"
    assert (again.returncode, again.stderr.strip()) == (2, "No such key, or it was revoked before")
    with pytest.raises(Unauthorized):
        accounts.key_of(text)


def test_a_user_is_made_an_administrator_by_email_or_id_and_a_user_again(run: Operator, accounts: Accounts) -> None:
    ada = accounts.register("ada@example.com", "correct horse")

    promoted = run("users", "set-role", "Ada@Example.com", "admin")
    role_then = accounts.account(ada.id).role
    demoted = run("users", "set-role", ada.id, "user")
    nobody = run("users", "set-role", "grace@example.com", "admin")

    assert (promoted.returncode, role_then) == (0, Role.ADMIN)
    assert (demoted.returncode, accounts.account(ada.id).role) == (0, Role.USER)
    assert (nobody.returncode, nobody.stderr.strip()) == (2, "No such user")


def test_users_are_opened_found_shown_and_given_tokens(run: Operator, accounts: Accounts, database: Database) -> None:
    made = run("users", "create", "Grace@Example.com", "--role", "admin", REGISTRATION="closed")
    again = run("users", "create", "grace@example.com")
    nonsense = run("users", "create", "nonsense")
    grace = accounts.by_email("grace@example.com")
    given = [run("users", "topup", "grace@example.com", "500", "--key", "k-1", "--notes", "a gift") for _ in range(2)]
    nobody = run("users", "topup", "nobody@example.com", "500", "--key", "k-2")
    listed, none = run("users", "list", "--search", "GRACE"), run("users", "list", "--search", "zzz")
    shown = run("users", "show", grace.id)

    password = made.stdout.strip()
    assert (made.returncode, accounts.login("grace@example.com", password).role) == (0, Role.ADMIN)
    assert [done.returncode for done in (again, nonsense, nobody)] == [2, 2, 2]
    assert [done.stdout.strip() for done in given] == [
        "grace@example.com has 1500 tokens",
        "grace@example.com has 1500 tokens; this key had been used before, nothing was added",
    ]
    assert grace.id in listed.stdout
    assert grace.id not in none.stdout
    for told in ("address: Grace@example.com", "role: admin", "tokens: 1500, 0 held", "budget: none", "topup", "a gift", "signup"):
        assert told in shown.stdout
    told = {entry["actorId"] for entry in database["audit"].find()}
    assert told == {f"cli:{pwd.getpwuid(os.getuid()).pw_name}"}
    assert password not in str(list(database["audit"].find()))


def test_a_password_may_be_told_and_a_guessable_one_is_refused(run: Operator, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for password in ("a lighthouse at dawn\n", "short\n", "password\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(password))
        made[password.strip()] = run("users", "create", f"u{len(made)}@example.com", "--password-stdin").returncode

    assert made == {"a lighthouse at dawn": 0, "short": 2, "password": 2}
    assert accounts.login("u0@example.com", "a lighthouse at dawn").role is Role.USER


def test_a_key_is_shown_and_the_log_tells_who_did_what(run: Operator, accounts: Accounts) -> None:
    key_id = accounts.make_key("nightly", KeyTerms(users=("ada",)))[0].id
    shown, unknown = run("keys", "show", key_id), run("keys", "show", "0123456789abcdef")
    run("budgets", "set", "--key", key_id, "--monthly", "2.5")
    run("keys", "revoke", key_id)
    run("keys", "revoke", key_id)

    whole, narrow = run("audit"), run("audit", "--action", "budget.set", "--subject", f"key:{key_id}", "--since", "2026-01-01")

    assert [line for line in shown.stdout.splitlines() if line.startswith(("name", "last", "users", "this"))] == [
        "name: nightly",
        "last used: never",
        "this month: 0 jobs, 0 images, 0.00 USD",
        "users: ada",
    ]
    assert (unknown.returncode, unknown.stderr.strip()) == (2, "No such key")
    assert [word in whole.stdout for word in ("budget.set", "key.revoke", "refused", '"monthly": 2.5', "cli:")] == [True] * 5
    assert ("budget.set" in narrow.stdout, "key.revoke" in narrow.stdout) == (True, False)


def test_the_proof_of_the_ledger_tells_by_its_exit_code_whether_it_adds_up(run: Operator, accounts: Accounts, database: Database) -> None:
    ada = accounts.register("ada@example.com", "correct horse")
    accounts.register("grace@example.com", "correct horse")

    sound = run("ledger", "verify")
    database["accounts"].update_one({"_id": ada.id}, {"$inc": {"tokens": 7}})
    unsound = run("ledger", "verify")

    assert (sound.returncode, sound.stdout.strip()) == (0, "2 accounts checked, 0 do not add up")
    first, last = unsound.stdout.strip().splitlines()
    assert unsound.returncode == 1
    assert first == f"{ada.id}: balance 1007, entries say 1000 (difference 7); held 0, entries say 0 (difference 0)"
    assert last == "2 accounts checked, 1 do not add up"


def test_a_budget_is_set_listed_changed_and_removed(run: Operator, accounts: Accounts) -> None:
    key_id = accounts.make_key("nightly")[0].id
    made = [run("budgets", "set", "--user", "ada", "--monthly", "25.00"), run("budgets", "set", "--key", key_id, "--monthly", "0.5")]
    changed = run("budgets", "set", "--user", "ada", "--monthly", "30")
    listed = run("budgets", "list")
    removed = [run("budgets", "remove", "--user", "ada") for _ in range(2)]

    assert [done.stdout.strip() for done in (*made, changed)] == [
        "user:ada may spend 25.00 USD a month; 25.00 are left",
        f"key:{key_id} may spend 0.50 USD a month; 0.50 are left",
        "user:ada may spend 30.00 USD a month; 30.00 are left",
    ]
    assert re.search(r"user:ada\W+30\.00\W+0\.00\W+0\.00\W+30\.00", listed.stdout)
    assert f"key:{key_id}" in listed.stdout
    assert [(done.returncode, done.stdout.strip() or done.stderr.strip()) for done in removed] == [
        (0, "user:ada has no budget any more"),
        (2, "No such budget"),
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--user", "ada", "--monthly", "NaN"], "from 0 to"),
        (["--user", "ada", "--key", "0123456789abcdef", "--monthly", "1"], "--user or --key"),
        (["--key", "0123456789abcdef", "--monthly", "1"], "No such key"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(run: Operator, arguments: list[str], told: str) -> None:
    done = run("budgets", "set", *arguments)

    assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (2, True, False), done


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_what_cannot_be_done_is_told_in_one_message_without_a_trace(run: Operator, listener: socket.socket) -> None:
    unknown = run("users", "set-role", "ada@example.com", "emperor")
    no_text = run("users", "disable", "ad\udca0@example.com")
    no_name = run("keys", "create", "--name", " ")
    taken = run.process(PORT=str(listener.getsockname()[1]))
    bad_settings = run("ledger", "verify", JWT_SECRET="short", PORT="x")
    no_store = run("keys", "list", MONGODB_URI="mongodb://127.0.0.1:9/test_nothing?serverSelectionTimeoutMS=200")

    for done in (unknown, no_text, no_name, taken, bad_settings, no_store):
        assert done.returncode == 2, done
        assert "Traceback" not in done.stderr
    assert "'admin'" in unknown.stderr
    assert "not UTF-8 text" in no_text.stderr
    assert "--name" in no_name.stderr
    assert "HOST, PORT: cannot listen on 127.0.0.1" in taken.stderr
    assert "JWT_SECRET" in bad_settings.stderr
    assert "PORT" in bad_settings.stderr
    assert "database does not answer" in no_store.stderr


def test_help_lists_the_commands(run: Operator) -> None:
    told = run("--help")

    assert told.returncode == 0
    assert [word for word in ("keys", "users", "ledger") if word not in told.stdout] == []


def test_all_that_is_kept_of_a_user_is_deleted_by_an_address_or_an_id_and_asked_for_first(
    run: Operator, accounts: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = accounts.register("ada@example.com", "correct horse").id
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

    doubted = run("users", "delete-data", "ada@example.com")
    before = database["accounts"].count_documents({"_id": user_id})
    done = [run("users", "delete-data", whom, "--yes") for whom in ("ada@example.com", "ada@example.com", "customer-17")]

    assert (doubted.returncode, before) == (130, 1)
    assert [(each.returncode, each.stdout.strip()) for each in done] == [
        (0, f"All that was kept of {whom} is deleted") for whom in ("ada@example.com", "ada@example.com", "customer-17")
    ]
    assert [doc["login"].partition(":")[0] for doc in database["accounts"].find()] == ["former"]
    assert database["audit"].find_one({"action": "user.data_delete"})["subject"] == f"user:{user_id}"  # type: ignore[index]
