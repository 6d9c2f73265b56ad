"""The whole suite on one machine: `python -m deploy.local`."""
