"""Uploads: the ways to bring in data, the files that wait, and the review before an import."""
