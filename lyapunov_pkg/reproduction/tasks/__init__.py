"""The tasks of the networks. Import a task's own module, because this package does not load any of them."""
