"""What `make run` tells its programs."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.identities import Identities
from deploy.local.postgres import DatabaseFiles
from deploy.local.programs import Suite
from deploy.local.secret_files import SecretFiles
from deploy.local.settings import LocalSettings
from libs.clock import SystemClock
from libs.rpc.server import GRACE
from libs.settings import parse
from services.token.settings import TokenSettings


def suite_of(environ: Mapping[str, str], directory: Path) -> Suite:
    database = directory / "database"
    database.write_text("postgresql://127.0.0.1/x")
    return Suite(
        settings=parse(LocalSettings, environ),
        environ=environ,
        files=SecretFiles(directory / "secrets", environ),
        databases=DatabaseFiles(token=database, sync=database, gateway=database),
        identities=Identities(directory=directory / "tls", hosts={}, clock=SystemClock()),
    )


def told(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return the environment of the token service."""
    return suite_of(environ, directory).token().environment


def test_the_real_shop_app_reaches_the_token_service(tmp_path: Path) -> None:
    environ = {
        "TIKTOK_CLIENT_ID": "awreal",
        "TIKTOK_CLIENT_SECRET": "keep-this",
        "TIKTOK_APP_KEY": "6real",
        "TIKTOK_APP_SECRET": "keep-this-too",
        "TIKTOK_SHOP_SERVICE_ID": "7000000000000000001",
    }
    environment = told(environ, tmp_path)
    settings = parse(TokenSettings, environment)
    assert settings.tiktok_shop_app_secret is not None
    assert settings.tiktok_shop_app_secret.reveal() == "keep-this-too"
    assert (settings.tiktok_shop_app_key, settings.tiktok_client_key) == ("6real", "awreal")
    assert urlsplit(settings.tiktok_shop_authorize_url).hostname == "services.tiktokshop.com"
    assert not any("keep-this" in value for value in environment.values())


def test_the_token_service_is_given_its_grace_before_it_is_killed(tmp_path: Path) -> None:
    grace = parse(TokenSettings, told({}, tmp_path)).stop_grace_seconds
    assert suite_of({}, tmp_path).token().patience > GRACE + grace


def test_the_address_of_redis_reaches_the_token_service_as_a_file(tmp_path: Path) -> None:
    environment = told({"REDIS_URL": "redis://:keep-this@127.0.0.1:6379/0"}, tmp_path)
    settings = parse(TokenSettings, environment)
    assert settings.redis_url is not None
    assert settings.redis_url.reveal() == "redis://:keep-this@127.0.0.1:6379/0"
    assert not any("keep-this" in value for value in environment.values())


def test_a_secret_for_users_is_generated_unless_their_keys_are_published(tmp_path: Path) -> None:
    generated = suite_of({}, tmp_path).gateway().environment
    assert len(Path(generated["USER_JWT_SECRET_FILE"]).read_text()) >= 32
    published = suite_of({"USER_JWKS_URL": "https://login.example/keys"}, tmp_path).gateway().environment
    assert "USER_JWT_SECRET_FILE" not in published
    assert published["USER_JWKS_URL"] == "https://login.example/keys"
