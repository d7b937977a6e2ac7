"""Exports of a model: choose a form, follow, download, use."""
