"""Database addresses: parsed once, shown without their password, derived for another role or database."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

_SCHEMES = ("postgresql", "postgres")
_HOSTS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/@,\s]*)(:\d{1,5})?(,(\[[0-9A-Fa-f:.]+\]|[^][:/@,\s]*)(:\d{1,5})?)*")
_SHAPE = "it must look like postgresql://user:password@host:5432/database"


@dataclass(frozen=True)
class Dsn:
    """The address of a database as a role; str() shows it without the password."""

    user: str
    password: str = field(repr=False)
    # One host with its port, or several separated by commas for failover.
    hosts: str
    database: str
    # Options may carry a password as well (sslpassword).
    options: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Dsn":
        """Read postgresql:// and postgres:// addresses; ValueError says what is wrong, never what was written."""
        try:
            parts = urlsplit(text.strip())
        except ValueError:
            raise ValueError(f"DATABASE_URL cannot be read as a URL: {_SHAPE}") from None
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"DATABASE_URL does not start with postgresql://: {_SHAPE}")
        identity, _, hosts = parts.netloc.rpartition("@")
        if not _HOSTS.fullmatch(hosts):
            raise ValueError(f"DATABASE_URL has no valid host and port: {_SHAPE}; encode special characters as %XX")
        user, _, password = identity.partition(":")
        database = unquote(parts.path.removeprefix("/"))
        if not user or not database or "/" in database or parts.fragment:
            raise ValueError(f"DATABASE_URL needs a user and one database: {_SHAPE}; encode special characters as %XX")
        return cls(unquote(user), unquote(password), hosts, database, parts.query)

    def reveal(self) -> str:
        """Return the whole address, password included, for the driver."""
        return self._text(f":{quote(self.password, safe='')}" if self.password else "", self.options)

    def as_role(self, user: str, password: str) -> "Dsn":
        """Return the same database as another role."""
        return replace(self, user=user, password=password)

    def __str__(self) -> str:
        return self._text("", "")

    def _text(self, password: str, options: str) -> str:
        path = quote(self.database, safe="")
        query = f"?{options}" if options else ""
        return f"postgresql://{quote(self.user, safe='')}{password}@{self.hosts}/{path}{query}"
