"""Parts of `scripts/fuzz`: originals, mutations, a canary, and the runs over media and events."""
