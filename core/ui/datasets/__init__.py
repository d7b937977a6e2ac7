"""Datasets: their list, their versions, what a version holds and teaches, what differs between two."""
