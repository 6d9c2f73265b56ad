"""What the service does, told in the domain's words; storage, queue and TikTok are ports."""
