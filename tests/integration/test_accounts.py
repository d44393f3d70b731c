"""Users and keys on a real store: emails in any case, users of an outside identity provider, keys that end."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.utils import base64url_encode

from app.config import Settings
from app.domain.account import Role
from app.domain.errors import EmailTaken, NotFound, Unauthorized
from app.services.people.accounts import Accounts
from app.services.people.sessions import BearerTokens
from app.stores.accounts import AccountStore, KeyStore
from app.stores.database import Database
from tests.support.idp import AUDIENCE, ISSUER, IdentityProvider, identity_provider

PASSWORD = "correct horse"


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(accounts=AccountStore(database), keys=KeyStore(database))


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def tokens(accounts: Accounts, provider: IdentityProvider) -> BearerTokens:
    settings = Settings(jwt_secret="s" * 32, jwt_jwks_url=provider.url, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    return BearerTokens(settings=settings, accounts=accounts)


def test_an_email_has_one_account_in_whatever_case_it_is_written(accounts: Accounts) -> None:
    ada = accounts.register(" Ada.Lovelace@Example.com ", PASSWORD)

    for spelling in ("ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM"):
        assert accounts.login(spelling, PASSWORD).id == ada.id
        with pytest.raises(EmailTaken):
            accounts.register(spelling, "another password")
    assert (ada.email, ada.role, ada.tokens) == ("Ada.Lovelace@example.com", Role.USER, 1000)


def test_of_many_who_register_one_email_at_once_one_gets_it(accounts: Accounts, database: Database) -> None:
    def register(number: int) -> bool:
        try:
            accounts.register("ada@example.com" if number % 2 else "ADA@example.com", PASSWORD)
        except EmailTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(register, range(8)))

    assert won.count(True) == 1
    assert database["accounts"].count_documents({}) == 1
    assert database["ledger"].count_documents({"type": "signup"}) == 1


def test_a_wrong_password_and_an_unknown_email_are_refused_alike(accounts: Accounts) -> None:
    accounts.register("ada@example.com", PASSWORD)

    for email, password in (("ada@example.com", "Correct horse"), ("ada@example.com", PASSWORD + " "), ("grace@example.com", PASSWORD)):
        with pytest.raises(Unauthorized, match=r"^The email or the password is wrong$"):
            accounts.login(email, password)


def test_passwords_and_keys_are_not_in_the_store(accounts: Accounts, database: Database) -> None:
    accounts.register("ada@example.com", PASSWORD)
    _, text = accounts.make_key("script")

    kept = json.dumps([list(database[name].find()) for name in ("accounts", "apiKeys")], default=str)
    assert PASSWORD not in kept
    assert text.split("_", 2)[2] not in kept
    assert "$argon2id$" in kept


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_user_of_the_identity_provider_is_let_in_and_opened_an_account_once(
    tokens: BearerTokens, provider: IdentityProvider, database: Database, algorithm: str
) -> None:
    first, again = (tokens.read(provider.token(algorithm))[0] for _ in range(2))

    assert first == again
    assert (first.id, first.email, first.tokens, first.role) == ("auth0|ada", "ada@example.com", 1000, Role.USER)
    assert database["ledger"].count_documents({"userId": "auth0|ada"}) == 1


def test_a_new_user_who_sends_many_requests_at_once_is_opened_one_account(
    tokens: BearerTokens, provider: IdentityProvider, database: Database
) -> None:
    token = provider.token()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(tokens.read, [token] * 8))

    assert {account.id for account, _ in found} == {"auth0|ada"}
    assert database["accounts"].count_documents({}) == 1


def test_the_providers_keys_are_asked_for_once_and_not_at_each_request(tokens: BearerTokens, provider: IdentityProvider) -> None:
    before = provider.asked

    for algorithm in ("RS256", "ES256", "RS256"):
        tokens.read(provider.token(algorithm))

    assert provider.asked == before + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"aud": "another-app"},
        {"aud": None},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"nbf": int(time.time()) + 86_400},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\0b"},
        {"sub": "x" * 257},
    ],
    ids=lambda changes: "-".join(name if isinstance(value, int) else f"{name}={value!r}"[:24] for name, value in changes.items()),
)
def test_a_token_whose_claims_do_not_fit_is_refused(
    tokens: BearerTokens, provider: IdentityProvider, database: Database, changes: dict[str, Any]
) -> None:
    token = provider.token(**changes)

    with pytest.raises(Unauthorized):
        tokens.read(token)
    assert database["accounts"].count_documents({}) == 0


def signed_with_the_public_key(provider: IdentityProvider) -> str:
    """Forge a token whose secret is the provider's public key. PyJWT refuses to; who forges does not ask it."""
    parts = ({"alg": "HS256", "kid": "RS256"}, provider.claims())
    body = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    return b".".join((body, base64url_encode(hmac.digest(provider.rsa_public_pem, body, "sha256")))).decode()


FORGERIES: dict[str, Callable[[IdentityProvider], str]] = {
    "signed with the public key as a secret": signed_with_the_public_key,
    "not signed": lambda p: jwt.encode(p.claims(), "", algorithm="none", headers={"kid": "RS256"}),
    "another key": lambda p: p.token("RS256", key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "another key of the curve": lambda p: p.token("ES256", key=ec.generate_private_key(ec.SECP256R1())),
    "an unknown key": lambda p: p.token("RS256", kid="yesterday"),
    "the key of the other algorithm": lambda p: p.token("RS256", kid="ES256"),
    "a longer hash": lambda p: jwt.encode(p.claims(), p.rsa, algorithm="RS512", headers={"kid": "RS256"}),
    "no key named": lambda p: jwt.encode(p.claims(), p.rsa, algorithm="RS256"),
    "our issuer by their key": lambda p: p.token("RS256", iss="imagegw"),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_token_is_refused(
    tokens: BearerTokens, provider: IdentityProvider, database: Database, forged: Callable[[IdentityProvider], str]
) -> None:
    token = forged(provider)

    with pytest.raises(Unauthorized):
        tokens.read(token)
    assert database["accounts"].count_documents({}) == 0


def test_the_provider_cannot_speak_for_an_account_of_our_own(accounts: Accounts, tokens: BearerTokens, provider: IdentityProvider) -> None:
    ada = accounts.register("ada@example.com", PASSWORD)

    with pytest.raises(Unauthorized):
        tokens.read(provider.token(sub=ada.id))

    same_email = tokens.read(provider.token())[0]
    assert same_email.id != ada.id


def test_our_own_tokens_are_good_beside_the_providers(accounts: Accounts, tokens: BearerTokens) -> None:
    ada = accounts.register("ada@example.com", PASSWORD)

    assert tokens.read(tokens.issue(ada))[0].id == ada.id


def test_a_provider_that_does_not_answer_lets_nobody_in(accounts: Accounts, provider: IdentityProvider) -> None:
    settings = Settings(jwt_secret="s" * 32, jwt_jwks_url="http://127.0.0.1:9/", jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    tokens = BearerTokens(settings=settings, accounts=accounts)

    with pytest.raises(Unauthorized):
        tokens.read(provider.token())


def test_a_key_is_known_until_it_is_revoked(accounts: Accounts) -> None:
    key, text = accounts.make_key("nightly script")
    other, _ = accounts.make_key("another")
    found = accounts.key_of(text)

    accounts.revoke_key(key.id)

    assert (found.id, found.name, found.revoked_at) == (key.id, "nightly script", None)
    with pytest.raises(Unauthorized):
        accounts.key_of(text)
    with pytest.raises(NotFound):
        accounts.revoke_key(key.id)
    assert {k.id: k.revoked_at is None for k in accounts.all_keys()} == {key.id: False, other.id: True}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t + "x",
        lambda t: t[:-1],
        lambda t: t.upper(),
        lambda t: "_".join(t.split("_")[:2]),
        lambda t: "igk_",
        lambda t: "",
        lambda t: "igk_a\0b_c",
        lambda t: "igk_\ud83c_c",
    ],
)
def test_a_key_that_is_not_exactly_right_is_refused(accounts: Accounts, change: Any) -> None:
    _, text = accounts.make_key("script")

    with pytest.raises(Unauthorized):
        accounts.key_of(change(text))


def test_a_role_is_set_and_taken_back(accounts: Accounts) -> None:
    ada = accounts.register("ada@example.com", PASSWORD)

    for role in (Role.ADMIN, Role.USER):
        accounts.change(ada.id, role=role)
        assert accounts.account(ada.id).role is role

    with pytest.raises(NotFound):
        accounts.change("nobody", role=Role.ADMIN)
    with pytest.raises(NotFound):
        accounts.by_email("grace@example.com")
