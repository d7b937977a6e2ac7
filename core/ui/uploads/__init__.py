"""Files on their way in: the ways, those that wait, and the review before an import."""
