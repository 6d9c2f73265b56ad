"""Owns credentials: OAuth, vault and refresh."""
