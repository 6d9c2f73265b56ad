"""Lets callers in: by certificate and policy, or whoever reaches this machine's own addresses."""

from typing import Protocol

from libs.rpc.identity import Caller, Callers, Context
from libs.rpc.policy import Policy

LOCAL = "local"


class Gate(Protocol):
    """Stands before every method but health."""

    def recognise(self, context: Context) -> Caller:
        """Return who calls; raise NotAllowed for nobody."""
        ...

    def check(self, caller: Caller, method: str) -> None:
        """Raise NotAllowed unless the caller may call the method."""
        ...


class CertificateGate:
    """Knows callers by their certificates, and asks the policy."""

    def __init__(self, policy: Policy) -> None:
        self._callers = Callers()
        self.recognise = self._callers.of
        self.check = policy.check


class LocalGate:
    """Lets everybody in: without certificates only this machine can call, and nobody can be told from another."""

    def recognise(self, context: Context) -> Caller:
        """Return the machine at the other end, as gRPC names it."""
        kind, _, address = context.peer().partition(":")
        name = f"{kind}:{address.rpartition(':')[0]}" if kind in ("ipv4", "ipv6") else kind
        return Caller(name=name, role=LOCAL)

    def check(self, caller: Caller, method: str) -> None:
        """Allow it."""
