"""``/api``: the REST interface.

One file per resource, each a thin layer over the service of the same name.
"""
