"""The tasks that networks are trained on. Import a task's own module; this package loads none of them."""
