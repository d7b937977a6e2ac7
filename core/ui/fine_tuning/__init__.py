"""Fine-tuning: the form of a new job with its plan, sweeps,
comparisons, checkpoints; ``jobs`` has the list and the page of one."""
