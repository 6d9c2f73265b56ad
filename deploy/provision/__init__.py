"""Secrets, certificates and database roles for a suite whose processes are told apart by the system they run on."""
