"""Accounts: keys, usage, and what an admin sees."""
