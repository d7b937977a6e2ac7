"""The SQL page: the text, its run, its answer."""
