"""What `scripts/bench` measures, one file a figure."""
