"""The pages of the console, in the order in which the navigation lists them."""

from dataclasses import dataclass

CONSOLE = "/console"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A page by its address and its name."""

    path: str
    label: str


NAVIGATION = (
    Entry(path=CONSOLE, label="Overview"),
    Entry(path=f"{CONSOLE}/stores", label="Stores"),
    Entry(path=f"{CONSOLE}/sync", label="Sync"),
    Entry(path=f"{CONSOLE}/schedule", label="Schedule"),
    Entry(path=f"{CONSOLE}/refresh", label="Refresh tokens"),
    Entry(path=f"{CONSOLE}/creators", label="Creators"),
    Entry(path=f"{CONSOLE}/audit", label="Audit"),
    Entry(path=f"{CONSOLE}/vault", label="Vault"),
)


def active(path: str) -> str:
    """Return the address of the entry that a page belongs to, empty for none."""
    found = [entry.path for entry in NAVIGATION if path == entry.path or path.startswith(f"{entry.path}/")]
    return max(found, key=len, default="")
