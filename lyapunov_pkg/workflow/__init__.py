"""What a workflow needs and that knows no science: stores, cache, locks, provenance, logs."""
