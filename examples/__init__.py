"""Services that use tokhub, to begin one's own with; nothing here is installed."""
