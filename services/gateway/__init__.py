"""HTTP in, gRPC out: no business rule, no table."""
