"""Settings: one frozen object, read from the environment once, by process entries only.

Every name is listed in `.env.example`. An empty variable means "use the default". Nothing else in the project reads the environment, save
for the vendors' own variables (AWS's, and fal-client's hosts, which it reads at import).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from app.domain.addresses import Network, networks_of
from app.domain.budget import limit_of
from app.domain.errors import InvalidRequest
from app.domain.redis_address import redis_problems
from app.domain.store_addresses import mongodb_problems, storage_problems

T = TypeVar("T")

MIN_SECRET_CHARS = 32
OPEN_PRODUCTION = "in-production"
PRODUCTION_SUBMITS = "600/minute"
MAX_TOKENS = 1_000_000_000
RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour|day)")
#: What may stand after `Authorization: Key ` and after `https://`, where fal-client puts them.
HEADER_TEXT = re.compile(r"[!-~]+")
FAL_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[!-~]*)?")


class BadSettings(Exception):
    """The environment cannot be used; the text lists every bad key at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The settings cannot be used:\n" + "\n".join(f"  {problem}" for problem in problems))


class Environment:
    """The environment's variables, read as one kind of value or another; `problems` gathers what is wrong with them.

    What reads a setting takes its key and its default, then what it may be.
    """

    def __init__(self, env: Mapping[str, str], *, for_web: bool) -> None:
        self._env = env
        self._for_web = for_web
        self._is_production = env.get("APP_ENV", "").strip() == "production"
        self.problems: list[str] = []

    def hosts(self, key: str, _: object) -> frozenset[str]:
        return frozenset(host.lower().strip("[].") for host in self.names(key))

    def names(self, key: str) -> list[str]:
        return [item.strip() for item in self.text(key).split(",") if item.strip()]

    def origins(self, key: str, _: object) -> tuple[str, ...]:
        """Return origins as browsers spell them: lower case, no slash at the end, no port that is the scheme's own."""
        found = []
        for text in self.names(key):
            if text != "*" and not _is_origin(text):
                self.problems.append(f"{key}: {text!r} is not an origin such as https://app.example.com")
                continue
            parts = urlsplit(text.lower().rstrip("/"))
            default = ":443" if parts.scheme == "https" else ":80"
            found.append("*" if text == "*" else f"{parts.scheme}://{parts.netloc.removesuffix(default)}")
        return tuple(found)

    def private_hosts(self, key: str, _: object) -> tuple[str, ...]:
        """Return names and networks, as they are compared: names in lower case, a single address as a network of one."""
        found = self.names(key)
        for text in found:
            if "/" in text:
                try:
                    networks_of(text)
                except ValueError as exc:
                    self.problems.append(f"{key}: {exc}; list names and networks such as hooks.internal, 10.0.0.0/8")
        return tuple(text.lower() for text in found)

    def fal_hosts(self, _key: str, _: object) -> frozenset[str]:
        run = self.text("FAL_RUN_HOST", "fal.run")
        hosts = {"FAL_RUN_HOST": run, "FAL_QUEUE_RUN_HOST": self.text("FAL_QUEUE_RUN_HOST", f"queue.{run}")}
        wrong = [key for key, host in hosts.items() if self.optional(key) and not FAL_HOST.fullmatch(host)]
        self.problems.extend(f"{key}: {hosts[key]!r} is not a host such as fal.run or gateway.example.com:8443" for key in wrong)
        return frozenset(hosts.values())

    def fal_key(self, key: str, default: str | None, example: str | None = None) -> str | None:
        """Return a key of fal's. One that no header can carry would fail at every order, long after the start."""
        value = self.required(key, default, example) if example else self.optional(key, default)
        if value and not HEADER_TEXT.fullmatch(value):
            self.problems.append(f"{key}: has spaces or characters beyond ASCII, which no key of fal.ai has")
        return value

    def optional(self, key: str, default: str | None = None, *others: str) -> str | None:
        """Return what the variable says, or the first of the others that says anything."""
        return next((value for name in (key, *others) if (value := self._env.get(name, "").strip())), default)

    def text(self, key: str, default: str = "") -> str:
        return self.optional(key) or default

    def path(self, key: str, default: Path | None) -> Path | None:
        return Path(value) if (value := self.optional(key)) else default

    def required(self, key: str, _: object, example: str, problems_of: Callable[[str], list[str]] = lambda _: []) -> str:
        value = self.text(key)
        problems = problems_of(value) if value else [f"missing; set it, for example: {example}"]
        self.problems.extend(f"{key}: {problem}" for problem in problems)
        return value

    def jwt_secret(self, key: str, default: str) -> str:
        return self.secret(key) if self._for_web else self.text(key, default)

    def secrets_key(self, key: str, _: object) -> str:
        """Return the secret of its own, or the one that signs log-ins."""
        return self.secret(key) if self.optional(key) else self.text("JWT_SECRET")

    def secret(self, key: str) -> str:
        value = self.required(key, "", "openssl rand -hex 32")
        if value and len(value) < MIN_SECRET_CHARS:
            self.problems.append(f"{key}: shorter than {MIN_SECRET_CHARS} characters; make one with: openssl rand -hex 32")
        return value

    def url(self, key: str, default: str | None, *schemes: str) -> str | None:
        value = self.optional(key, default)
        if value and not _is_url(value, schemes):
            self.problems.append(f"{key}: not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value

    def networks(self, key: str, _: object) -> tuple[Network, ...]:
        try:
            return networks_of(self.text(key))
        except ValueError as exc:
            self.problems.append(f"{key}: {exc}; list networks such as 10.0.0.0/8, 192.0.2.7")
            return ()

    def number(self, key: str, default: float, low: float, high: float) -> float:
        text = self.text(key, str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            self.problems.append(f"{key}: {text!r} is not a number from {low:g} to {high:g}")
            return default
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        value = self.number(key, default, low, high)
        if value != int(value):
            self.problems.append(f"{key}: {value:g} is not a whole number")
        return int(value)

    def whole_or_none(self, key: str, default: int | None, low: int, high: int) -> int | None:
        return default if self.optional(key) is None else self.whole(key, low, low, high)

    def choice(self, key: str, default: str, *allowed: str) -> str:
        value = self.text(key, default)
        if value not in allowed:
            self.problems.append(f"{key}: {value!r} is not one of {', '.join(allowed)}")
        return value

    def provenance(self, key: str, default: str) -> str:
        if self.optional(key) == "c2pa":
            self.problems.append(f"{key}: c2pa, signing pictures, is not built yet; use keep or xmp")
            return default
        return self.choice(key, default, "keep", "xmp")

    def rate(self, key: str, default: str | None, in_production: str | None = None) -> str | None:
        """Return a limit such as `600/minute`, or None for `off`."""
        text = self.text(key, (in_production if self._is_production else None) or default or "off").lower()
        if text == "off":
            return None
        if not RATE.fullmatch(text):
            self.problems.append(f"{key}: {text!r} is not a rate such as 600/minute, or off")
        return text

    def anonymous(self, key: str, default: bool) -> bool:  # noqa: FBT001 - as every reading
        """Open to everybody? A development setting that strayed into production must not open it: there it is asked for by its own name."""
        if self._is_production and self.optional(key) == OPEN_PRODUCTION:
            return True
        wanted = self.flag(key, default)
        if wanted and self._is_production:
            self.problems.append(f"{key}: anybody could spend your money; if you mean that, say {key}={OPEN_PRODUCTION}")
        return wanted

    def registration(self, key: str, default: str) -> str:
        """Who may open an account? In production that is said by whoever pays for what they order, and never a default."""
        if self._is_production and self._for_web and self.optional(key) is None:
            self.problems.append(f"{key}: missing; say open (anybody may register, and order for your money) or closed")
        return self.choice(key, default, "open", "closed")

    def micros(self, key: str, default: int | None) -> int | None:
        """Return an amount in USD as micro-USD, or None for no limit."""
        if (text := self.optional(key)) is None:
            return default
        try:
            return limit_of(text)
        except InvalidRequest as exc:
            self.problems.append(f"{key}: {text!r}: {exc.errors[0].detail}")
            return None

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - as every reading
        value = self.text(key, str(default)).lower()
        if value not in ("true", "false", "1", "0", "yes", "no"):
            self.problems.append(f"{key}: {value!r} is not true or false")
        return value in ("true", "1", "yes")


def setting(key: str, default: T, read: Callable[..., Any], *limits: Any, shown: bool = True) -> T:
    """A field: the variable that it is read from, what it is without, and how an Environment reads it."""
    made: T = field(default=default, repr=shown, metadata={"key": key, "read": read, "limits": limits})
    return made


secret = functools.partial(setting, shown=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator may choose. Secrets stay out of `repr`."""

    app_env: str = setting("APP_ENV", "development", Environment.choice, "development", "production")
    host: str = setting("HOST", "127.0.0.1", Environment.text)
    port: int = setting("PORT", 5000, Environment.whole, 0, 65535)
    mongodb_uri: str = secret("MONGODB_URI", "", Environment.required, "mongodb://localhost:27017/imagegw", mongodb_problems)
    redis_url: str = secret("REDIS_URL", "", Environment.required, "redis://localhost:6379/0", redis_problems)
    storage_url: str = setting("STORAGE_URL", "", Environment.required, "file:///var/lib/imagegw or s3://bucket/prefix", storage_problems)
    s3_endpoint_url: str | None = setting("S3_ENDPOINT_URL", None, Environment.url, "http", "https")
    s3_addressing_style: str = setting("S3_ADDRESSING_STYLE", "auto", Environment.choice, "auto", "virtual", "path")
    aws_region: str | None = setting("AWS_REGION", None, Environment.optional, "AWS_DEFAULT_REGION")
    public_asset_url: str | None = setting("PUBLIC_ASSET_URL", None, Environment.url, "http", "https")
    public_url: str | None = setting("PUBLIC_URL", None, Environment.url, "http", "https")
    fal_key: str = secret("FAL_KEY", "", Environment.fal_key, "the key of your fal.ai account")
    fal_hosts: frozenset[str] = setting("FAL_RUN_HOST", frozenset({"fal.run", "queue.fal.run"}), Environment.fal_hosts)
    fal_jwks_url: str = setting("FAL_JWKS_URL", "https://rest.fal.ai/.well-known/jwks.json", Environment.url, "https")
    fal_api_url: str = setting("FAL_API_URL", "https://api.fal.ai/v1", Environment.url, "https")
    fal_openapi_url: str = setting("FAL_OPENAPI_URL", "https://fal.ai/api/openapi/queue/openapi.json", Environment.url, "https")
    fal_user_id: str | None = setting("FAL_USER_ID", None, Environment.optional)
    fal_concurrency: int | None = setting("FAL_CONCURRENCY", None, Environment.whole_or_none, 1, 100_000)
    """How many requests fal paints at a time for the account; None: the operator does not say."""
    fal_admin_key: str | None = secret("FAL_ADMIN_KEY", None, Environment.fal_key)
    jwt_secret: str = secret("JWT_SECRET", "", Environment.jwt_secret)
    jwt_ttl_hours: float = setting("JWT_TTL_HOURS", 168.0, Environment.number, 0.01, 87600)
    jwt_jwks_url: str | None = setting("JWT_JWKS_URL", None, Environment.url, "http", "https")
    jwt_issuer: str | None = setting("JWT_ISSUER", None, Environment.optional)
    jwt_audience: str | None = setting("JWT_AUDIENCE", None, Environment.optional)
    allow_anonymous: bool = setting("ALLOW_ANONYMOUS", False, Environment.anonymous)
    registration: str = setting("REGISTRATION", "open", Environment.registration)
    signup_tokens: int = setting("SIGNUP_TOKENS", 1000, Environment.whole, 0, MAX_TOKENS)
    tokens_per_usd: int = setting("TOKENS_PER_USD", 1000, Environment.whole, 0, MAX_TOKENS)
    max_megapixels: float = setting("MAX_MEGAPIXELS", 4.2, Environment.number, 0.1, 1000)
    default_budget_micros: int | None = setting("DEFAULT_MONTHLY_BUDGET_USD", None, Environment.micros)
    """Micro-USD a month for each user without a budget of its own; likewise for all together below. None: no limit."""
    global_budget_micros: int | None = setting("GLOBAL_MONTHLY_BUDGET_USD", None, Environment.micros)
    upload_quota_mb: float = setting("UPLOAD_QUOTA_MB", 500.0, Environment.number, 0, 1e9)
    retention_days: int = setting("RETENTION_DAYS", 0, Environment.whole, 0, 36500)
    """How many days jobs and pictures are kept; 0: for ever."""
    provenance: str = setting("PROVENANCE", "keep", Environment.provenance)
    cors_origins: tuple[str, ...] = setting("CORS_ORIGINS", (), Environment.origins)
    allowed_hosts: frozenset[str] = setting("ALLOWED_HOSTS", frozenset(), Environment.hosts)
    trusted_proxies: tuple[Network, ...] = setting("TRUSTED_PROXIES", (), Environment.networks)
    sync_wait_seconds: float = setting("SYNC_WAIT_SECONDS", 120.0, Environment.number, 0, 3600)
    job_deadline_seconds: float = setting("JOB_DEADLINE_SECONDS", 900.0, Environment.number, 1, 86400)
    submit_unknown_seconds: float = setting("SUBMIT_UNKNOWN_SECONDS", 120.0, Environment.number, 1, 86400)
    polls_per_second: float = setting("POLLS_PER_SECOND", 200.0, Environment.number, 1, 10000)
    workers: int = setting("WORKERS", 4, Environment.whole, 1, 256)
    receipts_dir: Path = setting("RECEIPTS_DIR", Path("var/receipts"), Environment.path)  # noqa: RUF009 - a field
    batch_in_flight: int = setting("BATCH_IN_FLIGHT", 20, Environment.whole, 1, 10000)
    studio: str = setting("STUDIO", "on", Environment.choice, "on", "off")
    registry_path: Path | None = setting("REGISTRY_PATH", None, Environment.path)  # noqa: RUF009 - a field
    alive_file: Path | None = setting("ALIVE_FILE", None, Environment.path)  # noqa: RUF009 - a field
    openai_unknown: str = setting("OPENAI_UNKNOWN", "refuse", Environment.choice, "refuse", "ignore")
    secrets_key: str = secret("SECRETS_KEY", "", Environment.secrets_key)
    """What encrypts that has to be read again, such as the secrets that sign webhooks."""
    webhook_allow_http: bool = setting("WEBHOOK_ALLOW_HTTP", False, Environment.flag)
    webhook_private_hosts: tuple[str, ...] = setting("WEBHOOK_PRIVATE_HOSTS", (), Environment.private_hosts)
    webhook_log_days: int = setting("WEBHOOK_LOG_DAYS", 30, Environment.whole, 1, 3650)
    alert_webhook_url: str | None = secret("ALERT_WEBHOOK_URL", None, Environment.url, "http", "https")
    rate_limit_submit: str | None = setting("RATE_LIMIT_SUBMIT", None, Environment.rate, PRODUCTION_SUBMITS)
    rate_limit_login: str | None = setting("RATE_LIMIT_LOGIN", "30/minute", Environment.rate)
    log_level: str = setting("LOG_LEVEL", "INFO", Environment.choice, "DEBUG", "INFO", "WARNING", "ERROR")
    log_format: str = setting("LOG_FORMAT", "json", Environment.choice, "json", "text")

    @property
    def is_production(self) -> bool:
        return self.app_env == "production"

    @property
    def asks_fal_to_forget(self) -> bool:
        """Whether fal is asked to delete what it keeps of a deleted job's requests: it takes an administrator's key for that."""
        return self.fal_admin_key is not None

    @property
    def hosts(self) -> frozenset[str]:
        """Return the names under which the service may be called while anybody may call."""
        own = {self.host} - {"0.0.0.0", "::"} | {urlsplit(self.public_url or "").hostname or "localhost"}  # noqa: S104 - compared only
        return frozenset({"localhost", "127.0.0.1", "::1"}) | own | self.allowed_hosts

    @property
    def asset_base_url(self) -> str:
        """Where `/files/` is reached when storage is the local folder; no trailing slash."""
        return self.public_asset_url.rstrip("/") if self.public_asset_url else f"{self.own_url}/files"

    @property
    def links_url(self) -> str:
        """Where links to pictures lead, no trailing slash: to the service, which is also where `/files/` of it is said to be."""
        served = (self.public_asset_url or "").rstrip("/")
        is_own = served.endswith("/files") and self.storage_url.startswith("file:")
        return served.removesuffix("/files") if is_own and not self.public_url else self.own_url

    @property
    def own_url(self) -> str:
        """Where the service says it is reached; no trailing slash."""
        host = "localhost" if self.host in ("127.0.0.1", "0.0.0.0", "::", "localhost") else self.host  # noqa: S104
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


def load_settings(env: Mapping[str, str], *, for_web: bool = True) -> Settings:
    """Read and check the settings. Raises BadSettings naming every bad key, not only the first.

    Only the web process needs those about callers.
    """
    found = Environment(env, for_web=for_web)
    settings = Settings(
        **{it.name: it.metadata["read"](found, it.metadata["key"], it.default, *it.metadata["limits"]) for it in fields(Settings)}
    )
    if settings.jwt_jwks_url and not (settings.jwt_issuer and settings.jwt_audience):
        found.problems.append("JWT_JWKS_URL: also set JWT_ISSUER and JWT_AUDIENCE, which every token is checked against")
    if found.problems:
        raise BadSettings(found.problems)
    return settings


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    parts = urlsplit(text.rstrip("/")) if _is_url(text.lower(), ("http", "https")) else None
    return bool(parts and text.isascii() and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc))
