"""A TikTok to develop against: Login Kit, Display API and Shop on a local port, with a ledger of every token."""
