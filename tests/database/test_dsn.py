import pytest

from libs.database.dsn import Dsn


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user@host/db",
        "postgresql://user:p%40ss%2Fword@host:5432/db?sslmode=require",
        "postgresql://user:secret@[::1]:5432/db",
        "postgresql://user:secret@one:5432,two:5433/db?target_session_attrs=read-write",
        "postgresql://user:secret@/db?host=/run/postgresql",
    ],
)
def test_an_address_is_revealed_as_it_was_written(text: str) -> None:
    assert Dsn.parse(text).reveal() == text


def test_the_short_scheme_is_accepted() -> None:
    assert Dsn.parse("postgres://user:secret@host/db\n").reveal() == "postgresql://user:secret@host/db"


def test_another_role_keeps_server_and_database() -> None:
    dsn = Dsn.parse("postgresql://admin:secret@host:5432/db?sslmode=require").as_role("ro le", "p@ss")
    assert dsn.reveal() == "postgresql://ro%20le:p%40ss@host:5432/db?sslmode=require"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hunter2@host@host/db/more",
        "postgresql://user:hunter2@host",
        "postgresql://:hunter2@host/db",
        "postgresql://user:hunter2#@host/db",
        "postgresql://user:hunter2/x@host/db",
        "postgresql://user:hunter2[@host/db",
    ],
)
def test_a_wrong_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"DATABASE_URL .* postgresql://user:password@host:5432/database") as refusal:
        Dsn.parse(text)
    assert "hunter2" not in str(refusal.value)


def test_no_text_form_shows_the_password() -> None:
    dsn = Dsn.parse("postgresql://user:hunter2@host/db?sslpassword=hunter2")
    assert str(dsn) == "postgresql://user@host/db"
    assert "hunter2" not in repr(dsn)
