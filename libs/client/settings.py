"""What a service that reads tokens is told: where the token service is, and the certificates that say who asks."""

from libs.rpc.listen import Target
from libs.rpc.settings import RpcSettings


class TokenClientSettings(RpcSettings):
    """Every field is the variable of its name in capitals."""

    token_target: Target = "127.0.0.1:50051"
