"""Models of the registry: their forms, one in full, what is known about a version."""
