"""Jobs: the list, the queue, and the page of one run with its curves, samples, rows and log."""
