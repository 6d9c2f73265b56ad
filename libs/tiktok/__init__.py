"""Clients of TikTok's APIs."""
