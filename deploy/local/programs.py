"""The programs of the suite, and what each is told; secrets reach them as files only, and only their own."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from deploy.local import health
from deploy.local.identities import Identities
from deploy.local.postgres import DatabaseFiles
from deploy.local.secret_files import SecretFiles
from deploy.local.settings import CALLBACK, LocalSettings

# What a process does not inherit by accident; what it needs is added to it below, as NAME_FILE.
SECRET_NAME = re.compile(r"(KEY|KEYS|SECRET|TOKEN|PASSWORD|DATABASE_URL|REDIS_URL|marketplace_db_ddl)(_FILE)?$")
# The apps that the sandbox knows: of Login Kit, and of TikTok Shop.
SANDBOX_CLIENT_KEY = "sbawtokhubsandbox"
SANDBOX_SHOP_APP_KEY = "6sandboxshop"
SANDBOX_SHOP_SERVICE_ID = "7400000000000000001"
# Milliseconds, as if TikTok were some distance away.
LATENCY = {"TOKEN": "150", "USER": "150", "VIDEO": "250"}
# People for stores that somebody adds by hand.
SPARE_ACCOUNTS = 20
# Per store: the way to TikTok and back, creating it, and as much again for repeats.
REQUESTS_PER_STORE = 8
REQUESTS_BESIDES = 1_000

# Seconds that a process has to end. The gateway takes one to say goodbye and up to ten to answer what it has. The token
# service has ten for its calls, and then its STOP_GRACE_SECONDS for tokens that nothing but its memory has.
PATIENCE = 20.0
TOKEN_PATIENCE = 75.0

LOOPBACKS = ("127.0.0.1", "localhost")
ADDRESSES = ("127.0.0.1", "::1")

Environment = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A Python module to run as a process, how to tell that it is ready, and the seconds that it has to end."""

    name: str
    module: str
    environment: Environment
    ready: Callable[[], Awaitable[bool]]
    patience: float = PATIENCE


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What the programs are made from."""

    settings: LocalSettings
    environ: Mapping[str, str]
    files: SecretFiles
    databases: DatabaseFiles
    identities: Identities

    def programs(self) -> list[Program]:
        """Return the programs in the order they may be stopped in reverse: whoever calls comes after whom it calls."""
        called = [self.sandbox()] if self.settings.sandboxed else []
        return [*called, self.token(), self.sync(), self.gateway()]

    def sandbox(self) -> Program:
        """Return the TikTok to develop against."""
        settings = self.settings
        redirects = [settings.redirect_uri, *(f"http://{host}:{settings.port}{CALLBACK}" for host in LOOPBACKS)]
        return self._program(
            "sandbox",
            "sandbox",
            lambda: health.answers(f"{settings.sandbox_url}/sandbox/health"),
            {
                **{f"SANDBOX_LATENCY_{name}_MS": ms for name, ms in LATENCY.items()},
                "SANDBOX_REDIRECT_URIS": ",".join(dict.fromkeys(redirects)),
                "SANDBOX_STATE_FILE": str(settings.state / "sandbox.sqlite"),
                "SANDBOX_SHOP_REDIRECT_URI": settings.redirect_uri,
                "SANDBOX_WEBHOOK_URL": f"{settings.gateway_url}/webhooks/tiktok",
                "SANDBOX_SHOP_WEBHOOK_URL": f"{settings.gateway_url}/webhooks/tiktok-shop",
                **self._inherited("SANDBOX_"),
                "SANDBOX_HOST": "127.0.0.1",
                "SANDBOX_PORT": str(settings.sandbox_port),
                "SANDBOX_ACCOUNTS": str(max(settings.sandbox_accounts, settings.stores + SPARE_ACCOUNTS)),
                "SANDBOX_CLIENT_KEY": SANDBOX_CLIENT_KEY,
                "SANDBOX_CLIENT_SECRET_FILE": str(self.files.given_or_generated("SANDBOX_CLIENT_SECRET")),
                "SANDBOX_SHOP_APP_KEY": SANDBOX_SHOP_APP_KEY,
                "SANDBOX_SHOP_APP_SECRET_FILE": str(self.files.given_or_generated("SANDBOX_SHOP_APP_SECRET")),
                "SANDBOX_SHOP_SERVICE_ID": SANDBOX_SHOP_SERVICE_ID,
            },
        )

    def token(self) -> Program:
        """Return the token service."""
        settings = self.settings
        program = self._program(
            "token",
            "services.token",
            lambda: health.serves(settings.token_target, self.identities.operator()),
            {
                **self._certificates("token"),
                **self._recording(),
                "TOKEN_LISTEN": settings.token_listen,
                "TOKEN_METRICS_PORT": str(settings.token_metrics_port),
                "JOURNAL_DIR": str(settings.state / "journal"),
                "DATABASE_URL_FILE": str(self.databases.token),
                "TIKTOK_REDIRECT_URI": settings.redirect_uri,
                **(self._sandbox_apps() if settings.sandboxed else self._tiktok_apps()),
                **self._encryption_key(),
                **self._given("REDIS_URL"),
                "STATE_SECRET_FILE": str(self.files.given_or_generated("STATE_SECRET")),
                **self._given("STATE_SECRETS_ACCEPTED"),
            },
        )
        return replace(program, patience=TOKEN_PATIENCE)

    def sync(self) -> Program:
        """Return the sync service."""
        settings = self.settings
        return self._program(
            "sync",
            "services.sync",
            lambda: health.serves(settings.sync_target, self.identities.operator()),
            {
                **self._certificates("sync"),
                **self._recording(),
                "SYNC_LISTEN": settings.sync_listen,
                "SYNC_METRICS_PORT": str(settings.sync_metrics_port),
                "TOKEN_TARGET": settings.token_target,
                "DATABASE_URL_FILE": str(self.databases.sync),
                "TIKTOK_REDIRECT_URI": settings.redirect_uri,
                **({"TIKTOK_API_BASE_URL": settings.sandbox_url} if settings.sandboxed else {}),
            },
        )

    def gateway(self) -> Program:
        """Return the gateway with the limits it serves with."""
        settings = self.settings
        return self._program(
            "gateway",
            "services.gateway",
            lambda: health.answers(f"{settings.gateway_url}/health"),
            {
                **self._certificates("gateway"),
                "HOST": settings.host,
                "PORT": str(settings.port),
                "TOKEN_TARGET": settings.token_target,
                "SYNC_TARGET": settings.sync_target,
                "DATABASE_URL_FILE": str(self.databases.gateway),
                "TIKTOK_REDIRECT_URI": settings.redirect_uri,
                # Whoever starts the suite has its keys: wrong ones of before are forgiven to this machine.
                "AUTH_UNLOCK": ",".join(ADDRESSES),
                **self._inherited("AUTH_UNLOCK"),
                "ADMIN_API_KEY_FILE": str(self.files.given_or_generated("ADMIN_API_KEY")),
                **self._given("ADMIN_API_KEYS"),
                **self._user_secret(),
            },
        )

    def _program(
        self, name: str, module: str, ready: Callable[[], Awaitable[bool]], environment: Mapping[str, str]
    ) -> Program:
        return Program(name=name, module=module, ready=ready, environment={**self._inherited(), **environment})

    def _certificates(self, name: str) -> Environment:
        files = self.identities.files(name)
        return {"TLS_CA": str(files.ca), "TLS_CERT": str(files.certificate), "TLS_KEY": str(files.key)}

    def _recording(self) -> Environment:
        keys = self.files.given_or_generated("AUDIT_KEYS")
        return {"AUDIT_KEYS_FILE": str(keys), "AUDIT_DIR": str(self.settings.state / "audit")}

    def _sandbox_apps(self) -> Environment:
        sandbox = self.settings.sandbox_url
        return {
            "TIKTOK_CLIENT_KEY": SANDBOX_CLIENT_KEY,
            "TIKTOK_CLIENT_SECRET_FILE": str(self.files.given_or_generated("SANDBOX_CLIENT_SECRET")),
            "TIKTOK_LOGIN_AUTHORIZE_URL": f"{sandbox}/v2/auth/authorize/",
            "TIKTOK_API_BASE_URL": sandbox,
            "TIKTOK_SHOP_APP_KEY": SANDBOX_SHOP_APP_KEY,
            "TIKTOK_SHOP_APP_SECRET_FILE": str(self.files.given_or_generated("SANDBOX_SHOP_APP_SECRET")),
            "TIKTOK_SHOP_SERVICE_ID": SANDBOX_SHOP_SERVICE_ID,
            "TIKTOK_SHOP_AUTHORIZE_URL": f"{sandbox}/open/authorize",
            "TIKTOK_SHOP_TOKEN_BASE_URL": sandbox,
            "TIKTOK_SHOP_API_BASE_URL": sandbox,
        }

    def _tiktok_apps(self) -> Environment:
        settings = self.settings
        shop = {"TIKTOK_SHOP_APP_KEY": settings.tiktok_shop_app_key} if settings.tiktok_shop_app_key else {}
        secrets = self._given("TIKTOK_CLIENT_SECRET", "TIKTOK_SHOP_APP_SECRET", "TIKTOK_APP_SECRET")
        return {"TIKTOK_CLIENT_KEY": settings.tiktok_client_key or "", **shop, **secrets}

    def _encryption_key(self) -> Environment:
        ring = self._given("TOKEN_ENC_KEYS")
        return ring or {"TOKEN_ENC_KEY_FILE": str(self.files.given_or_generated("TOKEN_ENC_KEY"))}

    def _user_secret(self) -> Environment:
        if self.environ.get("USER_JWKS_URL"):
            return self._given("USER_JWT_SECRET")
        return {"USER_JWT_SECRET_FILE": str(self.files.given_or_generated("USER_JWT_SECRET"))}

    def _given(self, *names: str) -> Environment:
        files = {name: self.files.given(name) for name in names}
        return {f"{name}_FILE": str(file) for name, file in files.items() if file is not None}

    def _inherited(self, prefix: str = "") -> Environment:
        plain = (name for name in self.environ if name.startswith(prefix) and not SECRET_NAME.search(name))
        return {name: self.environ[name] for name in plain}


def with_open_gates(gateway: Program, settings: LocalSettings) -> Program:
    """Return the gateway with limits that let all stores be set up from one address; itself when they do already.

    It counts for itself: the set-up neither waits for a lockout of before nor spends what the person may spend after.
    """
    needed = REQUESTS_BESIDES + REQUESTS_PER_STORE * settings.stores
    if not settings.sandboxed or needed <= min(
        settings.rate_limit_admin_per_minute, settings.rate_limit_oauth_per_minute
    ):
        return gateway
    raised = {f"RATE_LIMIT_{name}_PER_MINUTE": str(needed) for name in ("ADMIN", "OAUTH")}
    alone = {name: value for name, value in gateway.environment.items() if name != "DATABASE_URL_FILE"}
    return replace(gateway, environment={**alone, **raised})
