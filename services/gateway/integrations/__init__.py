"""What the gateway hands to other applications' pages: a module that keeps track of a user's TikTok account."""
