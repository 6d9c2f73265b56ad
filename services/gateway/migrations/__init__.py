"""The gateway's schema of limits, revision by revision."""
