"""Which types columns of text have.

``column_types`` decides among the ``candidates``; ``chosen_values`` reads a type that the user demands;
``taught`` names the columns whose words stay as they were written.
"""
