"""Before the run: what the model will see of the data, and what the training will cost.

- ``preview``: rows as tokens, totals, what is cut; ``tasks``: previews that are being made; ``process``: the
  child that makes them
- ``templates``: what the base's chat template does
- ``forecast``: memory and time, by arithmetic and by measured steps
"""
