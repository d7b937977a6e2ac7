"""Profile and quality of a version: cards of columns, findings."""
