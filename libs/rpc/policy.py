"""Which callers may call which methods: a table per service, and what is not in it is denied."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from libs.errors import NotAllowed
from libs.rpc.identity import OPERATOR, Caller
from libs.rpc.tls import Certificates

Roles = frozenset[str]
# By the full name of a proto service, then by the name of its method.
Table = Mapping[str, Mapping[str, Roles]]

NOBODY: Roles = frozenset()
OPERATORS: Roles = frozenset({OPERATOR})
# Every server of the suite describes itself, to operators.
DESCRIBED: Table = MappingProxyType({"grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": OPERATORS}})


class Policy:
    """A table, as it is asked on every call."""

    def __init__(self, table: Table) -> None:
        self._allowed = {
            f"/{service}/{method}": roles
            for part in (DESCRIBED, table)
            for service, methods in part.items()
            for method, roles in methods.items()
        }

    def check(self, caller: Caller, method: str) -> None:
        """Raise NotAllowed unless the caller may call the method, named as on the wire."""
        if caller.role not in self._allowed.get(method, NOBODY):
            raise NotAllowed(
                f"{caller.name} may not call {method}: the policy of this service does not name it. "
                "Call with the certificate of a service or operator that may."
            )


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server tells its callers apart, and what each may do."""

    certificates: Certificates
    policy: Policy
