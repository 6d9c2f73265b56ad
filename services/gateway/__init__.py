"""HTTP in, gRPC out: no business rule, no table but those of limits and sessions."""
