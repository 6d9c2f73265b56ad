"""The reporting schema, revision by revision."""
