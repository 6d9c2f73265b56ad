"""gRPC in, core out: translation only."""
