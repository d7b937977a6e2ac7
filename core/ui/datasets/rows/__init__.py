"""The rows of a version: a page of them in a grid, filters, one row in full, editing.

``rows_address`` is what of it stands in the page's address, so that a view can be sent to a colleague.
"""
