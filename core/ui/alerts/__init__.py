"""Alerts: the bell, the list, the webhook."""
