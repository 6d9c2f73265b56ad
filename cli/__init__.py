"""The operator's command: a gRPC client."""
