"""``/v1``: the interface of the OpenAI SDKs over the same services.

What differs from ``/api``: keys, shapes, and 400 for every broken rule.
"""
