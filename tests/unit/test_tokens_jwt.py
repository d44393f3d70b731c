"""The service's own tokens: whose they are, how long they are good, and what is no token of ours."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import mongomock
import pytest

from app.config import Settings
from app.domain.account import Account
from app.domain.errors import Unauthorized
from app.services.people.accounts import Accounts
from app.services.people.sessions import ISSUER, BearerTokens
from app.stores.accounts import AccountStore, KeyStore
from app.stores.database import Database

LIFETIME = timedelta(hours=168)
SECRET = "a secret of this test, 32 or more"
INVALID = "The token is not valid, or has expired; log in again"
LEEWAY = timedelta(seconds=30)


@pytest.fixture
def accounts_database() -> Database:
    database: Database = mongomock.MongoClient(tz_aware=True)["test"]
    return database


@pytest.fixture
def accounts(accounts_database: Database) -> Accounts:
    return Accounts(accounts=AccountStore(accounts_database), keys=KeyStore(accounts_database))


@pytest.fixture
def ada(accounts: Accounts) -> Account:
    return accounts.register("ada@example.com", "correct horse")


def tokens(accounts: Accounts, *, secret: str = SECRET, ago: timedelta = timedelta(0)) -> BearerTokens:
    """Return the service as it was some time ago."""
    return BearerTokens(settings=Settings(jwt_secret=secret), accounts=accounts, now=lambda: datetime.now(UTC) - ago)


def signed(claims: dict[str, Any], *, secret: str = SECRET, algorithm: str = "HS256") -> str:
    now = datetime.now(UTC)
    right = {"iss": ISSUER, "iat": now, "exp": now + timedelta(hours=1)}
    return jwt.encode({name: value for name, value in {**right, **claims}.items() if value is not None}, secret, algorithm=algorithm)


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


def test_a_token_names_the_account_it_was_issued_for(accounts: Accounts, ada: Account) -> None:
    token = tokens(accounts).issue(ada)

    assert tokens(accounts).read(token)[0].id == ada.id


def test_a_token_says_nothing_but_who_when_and_which_session(accounts: Accounts, ada: Account) -> None:
    token = tokens(accounts).issue(ada)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "sub", "iat", "exp", "gen", "jti"}
    assert claims["sub"] == ada.id
    assert claims["exp"] - claims["iat"] == timedelta(days=7).total_seconds()


def test_a_token_is_good_for_seven_days_and_a_little_for_clocks_that_differ(accounts: Accounts, ada: Account) -> None:
    almost_over = tokens(accounts, ago=LIFETIME + LEEWAY - timedelta(seconds=10)).issue(ada)

    assert tokens(accounts).read(almost_over)[0].id == ada.id


def test_an_expired_token_is_refused(accounts: Accounts, ada: Account) -> None:
    old = tokens(accounts, ago=LIFETIME + LEEWAY + timedelta(seconds=2)).issue(ada)

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(old)


def test_a_token_of_another_secret_is_refused(accounts: Accounts, ada: Account) -> None:
    foreign = tokens(accounts, secret="another secret, as long as the first").issue(ada)

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(foreign)


@pytest.mark.parametrize(
    "claims",
    [{"iss": "somebody-else"}, {"iss": None}, {"exp": None}, {"iat": None}, {"sub": None}, {"nbf": datetime.now(UTC) + timedelta(hours=1)}],
    ids=lambda claims: "-".join(f"{name}={value}"[:15] for name, value in claims.items()),
)
def test_a_token_whose_claims_are_not_ours_is_refused(accounts: Accounts, ada: Account, claims: dict[str, Any]) -> None:
    token = signed({"sub": ada.id, **claims})

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(token)


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "None"}, {"alg": "HS256"}, {"alg": ["HS256"]}, {"alg": "HS256", "kid": "../../dev/null"}, {}]
)
def test_a_token_without_a_signature_is_refused_whatever_its_header_says(accounts: Accounts, ada: Account, header: dict[str, Any]) -> None:
    exp = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
    token = unsigned({"iss": ISSUER, "sub": ada.id, "iat": 1, "exp": exp}, **header)

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(token)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_only_the_one_algorithm_is_accepted_even_with_the_right_secret(accounts: Accounts, ada: Account, algorithm: str) -> None:
    token = signed({"sub": ada.id}, secret=SECRET.ljust(64, "!"), algorithm=algorithm)

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts, secret=SECRET.ljust(64, "!")).read(token)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "....", "é.ü.ö", "eyJhbGciOiJIUzI1NiJ9..", "\ud83c\udff0"])
def test_what_is_no_token_at_all_is_refused(accounts: Accounts, text: str) -> None:
    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(text)


def test_a_changed_token_is_refused(accounts: Accounts, ada: Account) -> None:
    other = accounts.register("grace@example.com", "correct horse")
    head, _, signature = tokens(accounts).issue(ada).split(".")
    body = tokens(accounts).issue(other).split(".")[1]

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(f"{head}.{body}.{signature}")


def test_a_token_of_an_account_that_is_gone_is_refused_like_any_other(
    accounts: Accounts, accounts_database: Database, ada: Account
) -> None:
    token = tokens(accounts).issue(ada)
    accounts_database["accounts"].delete_one({"_id": ada.id})

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(token)


def test_a_token_of_an_outside_provider_is_refused_where_none_is_set_up(accounts: Accounts) -> None:
    token = unsigned({"sub": "auth0|ada"}, alg="RS256", kid="1") + "c2lnbmF0dXJl"

    with pytest.raises(Unauthorized, match=INVALID):
        tokens(accounts).read(token)
