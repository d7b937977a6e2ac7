"""Routes of fine-tuning: what is known before a run, jobs,
the queue, sweeps, watching, checkpoints, a run to take along."""
