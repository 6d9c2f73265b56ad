import pytest

from libs.tiktok.address import check_origin, check_url


@pytest.mark.parametrize(
    "url",
    [
        "https://open.tiktokapis.com",
        "https://www.tiktok.com/v2/auth/authorize/",
        "https://example.com:8443/callback?x=1",
        "http://127.0.0.1:8400",
        "http://localhost:3000/auth/tiktok/callback",
        "http://[::1]:8400/",
    ],
)
def test_tokens_may_go_to_https_and_to_this_machine(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1@example.com/",
        "https://user:secret@example.com/",
        "https://:secret@example.com/",
        "https://@example.com/",
        "https://example.com/#fragment",
        "https://example.com\\@evil.example/",
        "https://exa mple.com/",
        "https://example.com/a\nb",
        "https://example.com:port/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "http://[::1/",
        "",
    ],
)
def test_tokens_go_nowhere_else(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_url(url)


@pytest.mark.parametrize("origin", ["https://open.tiktokapis.com", "https://open.tiktokapis.com/"])
def test_an_origin_loses_its_last_slash(origin: str) -> None:
    assert check_origin(origin) == "https://open.tiktokapis.com"


@pytest.mark.parametrize("tail", ["/v2", "/?x=1", "?x=1", "//"])
def test_an_origin_has_no_path_or_query(tail: str) -> None:
    with pytest.raises(ValueError, match="must be an origin"):
        check_origin(f"https://open.tiktokapis.com{tail}")


def test_a_refused_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="absolute") as caught:
        check_url("https://user:hunter2@example.com/")
    assert "hunter2" not in str(caught.value)
