"""What the sandbox answers over HTTP: TikTok's own routes and the control routes beside them."""
