"""Exports of a model: choose a form, follow, take away, use."""
