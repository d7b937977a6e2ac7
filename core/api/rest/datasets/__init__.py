"""Routes of datasets: they and their versions, rows and columns, edits and splits."""
