"""The pages a person sees after TikTok: fixed texts, no script, nothing of the request but the store's code."""
