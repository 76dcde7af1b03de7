"""Parts of `scripts/torture`: files, a faulty way to AWS, a fleet that is killed, the reckoning."""
