"""Infrastructure of a workflow, without any science: stores, cache, locks, provenance, logs."""
