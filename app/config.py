"""Settings: one frozen object, read from the environment once, by process entries only.

Every name is listed in `.env.example`. An empty variable means "use the default". Nothing else in the project reads the environment, save
for the vendors' own variables (AWS's, and fal-client's hosts, which it reads at import).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from app.domain.addresses import Network, networks_of
from app.domain.budget import limit_of
from app.domain.errors import InvalidRequest
from app.domain.redis_address import redis_problems
from app.domain.store_addresses import mongodb_problems, storage_problems

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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator may choose. Secrets stay out of `repr`."""

    app_env: str = "development"
    host: str = "127.0.0.1"
    port: int = 5000
    mongodb_uri: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    storage_url: str = ""
    s3_endpoint_url: str | None = None
    s3_addressing_style: str = "auto"
    aws_region: str | None = None
    public_asset_url: str | None = None
    public_url: str | None = None
    fal_key: str = field(default="", repr=False)
    fal_hosts: frozenset[str] = frozenset({"fal.run", "queue.fal.run"})
    fal_jwks_url: str = "https://rest.fal.ai/.well-known/jwks.json"
    fal_api_url: str = "https://api.fal.ai/v1"
    fal_openapi_url: str = "https://fal.ai/api/openapi/queue/openapi.json"
    fal_user_id: str | None = None
    fal_admin_key: str | None = field(default=None, repr=False)
    jwt_secret: str = field(default="", repr=False)
    jwt_ttl_hours: float = 168.0
    jwt_jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    allow_anonymous: bool = False
    registration: str = "open"
    signup_tokens: int = 1000
    tokens_per_usd: int = 1000
    max_megapixels: float = 4.2
    default_budget_micros: int | None = None
    """Micro-USD a month for each user without a budget of its own; likewise for all together below. None: no limit."""
    global_budget_micros: int | None = None
    upload_quota_mb: float = 500.0
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: frozenset[str] = frozenset()
    trusted_proxies: tuple[Network, ...] = ()
    sync_wait_seconds: float = 120.0
    job_deadline_seconds: float = 900.0
    submit_unknown_seconds: float = 120.0
    polls_per_second: float = 200.0
    workers: int = 4
    receipts_dir: Path = Path("var/receipts")
    batch_in_flight: int = 20
    registry_path: Path | None = None
    alive_file: Path | None = None
    openai_unknown: str = "refuse"
    secrets_key: str = field(default="", repr=False)
    """What encrypts that has to be read again, such as the secrets that sign webhooks."""
    webhook_allow_http: bool = False
    webhook_private_hosts: tuple[str, ...] = ()
    webhook_log_days: int = 30
    alert_webhook_url: str | None = field(default=None, repr=False)
    rate_limit_submit: str | None = None
    rate_limit_login: str | None = "30/minute"
    log_level: str = "INFO"
    log_format: str = "json"

    @property
    def is_production(self) -> bool:
        return self.app_env == "production"

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
    def own_url(self) -> str:
        """Where the service says it is reached; no trailing slash."""
        host = "localhost" if self.host in ("127.0.0.1", "0.0.0.0", "::", "localhost") else self.host  # noqa: S104
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


def load_settings(env: Mapping[str, str], *, for_web: bool = True) -> Settings:
    """Read and check the settings. Raises BadSettings naming every bad key, not only the first.

    Only the web process needs those about callers.
    """
    return _Reader(env, for_web=for_web).settings()


class _Reader:
    def __init__(self, env: Mapping[str, str], *, for_web: bool) -> None:
        self._env = env
        self._for_web = for_web
        self._problems: list[str] = []

    def settings(self) -> Settings:
        defaults = Settings()
        app_env = self._choice("APP_ENV", defaults.app_env, ("development", "production"))
        jwt_secret = self._secret("JWT_SECRET") if self._for_web else self._text("JWT_SECRET", "")
        settings = Settings(
            app_env=app_env,
            host=self._text("HOST", defaults.host),
            port=self._whole("PORT", defaults.port, 0, 65535),
            mongodb_uri=self._required("MONGODB_URI", "mongodb://localhost:27017/imagegw"),
            redis_url=self._required("REDIS_URL", "redis://localhost:6379/0"),
            storage_url=self._required("STORAGE_URL", "file:///var/lib/imagegw or s3://bucket/prefix"),
            s3_endpoint_url=self._url("S3_ENDPOINT_URL", ("http", "https")),
            s3_addressing_style=self._choice("S3_ADDRESSING_STYLE", defaults.s3_addressing_style, ("auto", "virtual", "path")),
            aws_region=self._optional("AWS_REGION") or self._optional("AWS_DEFAULT_REGION"),
            public_asset_url=self._url("PUBLIC_ASSET_URL", ("http", "https")),
            public_url=self._url("PUBLIC_URL", ("http", "https")),
            fal_key=self._fal_key("FAL_KEY") or self._required("FAL_KEY", "the key of your fal.ai account"),
            fal_hosts=self._fal_hosts(),
            fal_jwks_url=self._url("FAL_JWKS_URL", ("https",)) or defaults.fal_jwks_url,
            fal_api_url=self._url("FAL_API_URL", ("https",)) or defaults.fal_api_url,
            fal_openapi_url=self._url("FAL_OPENAPI_URL", ("https",)) or defaults.fal_openapi_url,
            fal_user_id=self._optional("FAL_USER_ID"),
            fal_admin_key=self._fal_key("FAL_ADMIN_KEY"),
            jwt_secret=jwt_secret,
            jwt_ttl_hours=self._number("JWT_TTL_HOURS", defaults.jwt_ttl_hours, 0.01, 87600),
            jwt_jwks_url=self._url("JWT_JWKS_URL", ("http", "https")),
            jwt_issuer=self._optional("JWT_ISSUER"),
            jwt_audience=self._optional("JWT_AUDIENCE"),
            allow_anonymous=self._anonymous(is_production=app_env == "production"),
            registration=self._registration(is_production=app_env == "production"),
            signup_tokens=self._whole("SIGNUP_TOKENS", defaults.signup_tokens, 0, MAX_TOKENS),
            tokens_per_usd=self._whole("TOKENS_PER_USD", defaults.tokens_per_usd, 0, MAX_TOKENS),
            max_megapixels=self._number("MAX_MEGAPIXELS", defaults.max_megapixels, 0.1, 1000),
            default_budget_micros=self._micros("DEFAULT_MONTHLY_BUDGET_USD"),
            global_budget_micros=self._micros("GLOBAL_MONTHLY_BUDGET_USD"),
            upload_quota_mb=self._number("UPLOAD_QUOTA_MB", defaults.upload_quota_mb, 0, 1e9),
            cors_origins=self._origins("CORS_ORIGINS"),
            allowed_hosts=frozenset(host.lower().strip("[].") for host in self._list("ALLOWED_HOSTS")),
            trusted_proxies=self._networks("TRUSTED_PROXIES"),
            sync_wait_seconds=self._number("SYNC_WAIT_SECONDS", defaults.sync_wait_seconds, 0, 3600),
            job_deadline_seconds=self._number("JOB_DEADLINE_SECONDS", defaults.job_deadline_seconds, 1, 86400),
            submit_unknown_seconds=self._number("SUBMIT_UNKNOWN_SECONDS", defaults.submit_unknown_seconds, 1, 86400),
            polls_per_second=self._number("POLLS_PER_SECOND", defaults.polls_per_second, 1, 10000),
            workers=self._whole("WORKERS", defaults.workers, 1, 256),
            receipts_dir=Path(self._text("RECEIPTS_DIR", str(defaults.receipts_dir))),
            batch_in_flight=self._whole("BATCH_IN_FLIGHT", defaults.batch_in_flight, 1, 10000),
            registry_path=Path(path) if (path := self._optional("REGISTRY_PATH")) else None,
            alive_file=Path(path) if (path := self._optional("ALIVE_FILE")) else None,
            openai_unknown=self._choice("OPENAI_UNKNOWN", defaults.openai_unknown, ("refuse", "ignore")),
            secrets_key=self._secret("SECRETS_KEY") if self._optional("SECRETS_KEY") else jwt_secret,
            webhook_allow_http=self._flag("WEBHOOK_ALLOW_HTTP", default=defaults.webhook_allow_http),
            webhook_private_hosts=self._private_hosts("WEBHOOK_PRIVATE_HOSTS"),
            webhook_log_days=self._whole("WEBHOOK_LOG_DAYS", defaults.webhook_log_days, 1, 3650),
            alert_webhook_url=self._url("ALERT_WEBHOOK_URL", ("http", "https")),
            rate_limit_submit=self._rate("RATE_LIMIT_SUBMIT", PRODUCTION_SUBMITS if app_env == "production" else None),
            rate_limit_login=self._rate("RATE_LIMIT_LOGIN", defaults.rate_limit_login),
            log_level=self._choice("LOG_LEVEL", defaults.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
            log_format=self._choice("LOG_FORMAT", defaults.log_format, ("json", "text")),
        )
        self._check_together(settings)
        if self._problems:
            raise BadSettings(self._problems)
        return settings

    def _check_together(self, settings: Settings) -> None:
        if settings.jwt_jwks_url and not (settings.jwt_issuer and settings.jwt_audience):
            self._problems.append("JWT_JWKS_URL: also set JWT_ISSUER and JWT_AUDIENCE, which every token is checked against")
        for key, address, problems_of in (
            ("MONGODB_URI", settings.mongodb_uri, mongodb_problems),
            ("REDIS_URL", settings.redis_url, redis_problems),
            ("STORAGE_URL", settings.storage_url, storage_problems),
        ):
            self._problems.extend(f"{key}: {problem}" for problem in (problems_of(address) if address else ()))

    def _list(self, key: str) -> list[str]:
        return [item.strip() for item in self._text(key, "").split(",") if item.strip()]

    def _origins(self, key: str) -> tuple[str, ...]:
        """Return origins as browsers spell them: lower case, no slash at the end, no port that is the scheme's own."""
        found = []
        for text in self._list(key):
            if text != "*" and not _is_origin(text):
                self._problems.append(f"{key}: {text!r} is not an origin such as https://app.example.com")
                continue
            parts = urlsplit(text.lower().rstrip("/"))
            default = ":443" if parts.scheme == "https" else ":80"
            found.append("*" if text == "*" else f"{parts.scheme}://{parts.netloc.removesuffix(default)}")
        return tuple(found)

    def _private_hosts(self, key: str) -> tuple[str, ...]:
        """Return names and networks, as they are compared: names in lower case, a single address as a network of one."""
        found = self._list(key)
        for text in found:
            if "/" in text:
                try:
                    networks_of(text)
                except ValueError as exc:
                    self._problems.append(f"{key}: {exc}; list names and networks such as hooks.internal, 10.0.0.0/8")
        return tuple(text.lower() for text in found)

    def _fal_hosts(self) -> frozenset[str]:
        run = self._text("FAL_RUN_HOST", "fal.run")
        hosts = {"FAL_RUN_HOST": run, "FAL_QUEUE_RUN_HOST": self._text("FAL_QUEUE_RUN_HOST", f"queue.{run}")}
        wrong = [key for key, host in hosts.items() if self._optional(key) and not FAL_HOST.fullmatch(host)]
        self._problems.extend(f"{key}: {hosts[key]!r} is not a host such as fal.run or gateway.example.com:8443" for key in wrong)
        return frozenset(hosts.values())

    def _fal_key(self, key: str) -> str | None:
        """Return a key of fal's. One that no header can carry would fail at every order, long after the start."""
        value = self._optional(key)
        if value and not HEADER_TEXT.fullmatch(value):
            self._problems.append(f"{key}: has spaces or characters beyond ASCII, which no key of fal.ai has")
        return value

    def _optional(self, key: str) -> str | None:
        return self._env.get(key, "").strip() or None

    def _text(self, key: str, default: str) -> str:
        return self._optional(key) or default

    def _required(self, key: str, example: str) -> str:
        value = self._optional(key)
        if value is None:
            self._problems.append(f"{key}: missing; set it, for example: {example}")
        return value or ""

    def _secret(self, key: str) -> str:
        value = self._required(key, "openssl rand -hex 32")
        if value and len(value) < MIN_SECRET_CHARS:
            self._problems.append(f"{key}: shorter than {MIN_SECRET_CHARS} characters; make one with: openssl rand -hex 32")
        return value

    def _url(self, key: str, schemes: tuple[str, ...]) -> str | None:
        value = self._optional(key)
        if value and not _is_url(value, schemes):
            self._problems.append(f"{key}: not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value

    def _networks(self, key: str) -> tuple[Network, ...]:
        try:
            return networks_of(self._text(key, ""))
        except ValueError as exc:
            self._problems.append(f"{key}: {exc}; list networks such as 10.0.0.0/8, 192.0.2.7")
            return ()

    def _number(self, key: str, default: float, low: float, high: float) -> float:
        text = self._text(key, str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            self._problems.append(f"{key}: {text!r} is not a number from {low:g} to {high:g}")
            return default
        return value

    def _whole(self, key: str, default: int, low: int, high: int) -> int:
        value = self._number(key, default, low, high)
        if value != int(value):
            self._problems.append(f"{key}: {value:g} is not a whole number")
        return int(value)

    def _choice(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self._text(key, default)
        if value not in allowed:
            self._problems.append(f"{key}: {value!r} is not one of {', '.join(allowed)}")
        return value

    def _rate(self, key: str, default: str | None) -> str | None:
        """Return a limit such as `600/minute`, or None for `off`."""
        text = self._text(key, default or "off").lower()
        if text == "off":
            return None
        if not RATE.fullmatch(text):
            self._problems.append(f"{key}: {text!r} is not a rate such as 600/minute, or off")
        return text

    def _anonymous(self, *, is_production: bool) -> bool:
        """Open to everybody? A development setting that strayed into production must not open it: there it is asked for by its own name."""
        if is_production and self._optional("ALLOW_ANONYMOUS") == OPEN_PRODUCTION:
            return True
        wanted = self._flag("ALLOW_ANONYMOUS", default=False)
        if wanted and is_production:
            self._problems.append(
                f"ALLOW_ANONYMOUS: anybody could spend your money; if you mean that, say ALLOW_ANONYMOUS={OPEN_PRODUCTION}"
            )
        return wanted

    def _registration(self, *, is_production: bool) -> str:
        """Who may open an account? In production that is said by whoever pays for what they order, and never a default."""
        if is_production and self._for_web and self._optional("REGISTRATION") is None:
            self._problems.append("REGISTRATION: missing; say open (anybody may register, and order for your money) or closed")
        return self._choice("REGISTRATION", "open", ("open", "closed"))

    def _micros(self, key: str) -> int | None:
        """Return an amount in USD as micro-USD, or None for no limit."""
        if (text := self._optional(key)) is None:
            return None
        try:
            return limit_of(text)
        except InvalidRequest as exc:
            self._problems.append(f"{key}: {text!r}: {exc.errors[0].detail}")
            return None

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._text(key, str(default)).lower()
        if value not in ("true", "false", "1", "0", "yes", "no"):
            self._problems.append(f"{key}: {value!r} is not true or false")
        return value in ("true", "1", "yes")


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    parts = urlsplit(text.rstrip("/")) if _is_url(text.lower(), ("http", "https")) else None
    return bool(parts and text.isascii() and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc))
