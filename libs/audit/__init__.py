"""A chain over the audit trail that its database alone cannot forge."""
