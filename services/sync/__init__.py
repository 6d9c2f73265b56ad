"""Owns stores, runs and snapshots."""
