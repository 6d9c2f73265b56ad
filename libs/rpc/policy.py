"""Which callers may call which methods: a table per service, and what is not in it is denied."""

from collections.abc import Mapping
from types import MappingProxyType

from libs.errors import NotAllowed
from libs.rpc.identity import OPERATOR, Caller

Roles = frozenset[str]
# By the full name of a proto service, then by the name of its method.
Table = Mapping[str, Mapping[str, Roles]]

# Whoever calls for the holder of an API key; a part of what is recorded, never of what is allowed.
FOR_A_KEY = "for a key"
NOBODY: Roles = frozenset()
OPERATORS: Roles = frozenset({OPERATOR})
# Every server of the suite describes itself, to operators.
DESCRIBED: Table = MappingProxyType({"grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": OPERATORS}})


def by_path(table: Table) -> dict[str, Roles]:
    """Return a table by the names that methods have on the wire."""
    return {f"/{service}/{method}": roles for service, methods in table.items() for method, roles in methods.items()}


class Policy:
    """A table, as it is asked on every call, and another one of calls that are recorded."""

    def __init__(self, table: Table, recorded: Table = MappingProxyType({})) -> None:
        self.recorded: Mapping[str, Roles] = by_path(recorded)
        self._allowed = by_path(DESCRIBED) | by_path(table)

    def check(self, caller: Caller, method: str) -> None:
        """Raise NotAllowed unless the caller may call the method, named as on the wire."""
        if caller.role not in self._allowed.get(method, NOBODY):
            raise NotAllowed(
                f"{caller.name} may not call {method}: the policy of this service does not name it. "
                "Call with the certificate of a service or operator that may."
            )
