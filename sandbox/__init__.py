"""A TikTok to develop against: Login Kit v2 and Display API v2 on a local port, with a ledger of every token."""
