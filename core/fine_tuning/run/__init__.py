"""A run to take along.

- ``facts``: everything that is known about it, gathered
- ``files``: the archive; ``notebook``, ``curves``: what is in it
- ``mlflow``: the run written to an MLflow server
"""
