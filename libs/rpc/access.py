"""What a server needs to know who calls, what they may, and where it is written down."""

from dataclasses import dataclass, field

from libs.clock import SystemClock
from libs.rpc.denials import Denials
from libs.rpc.policy import Policy
from libs.rpc.recording import Trail
from libs.rpc.tls import Certificates


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server tells its callers apart, what each may do, and where it is recorded that they did or tried."""

    certificates: Certificates
    policy: Policy
    trail: Trail
    denials: Denials = field(default_factory=lambda: Denials(SystemClock()))
