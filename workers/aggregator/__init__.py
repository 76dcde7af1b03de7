"""The aggregator: from two halves to one verdict."""
