"""The three services: token, sync and gateway."""
