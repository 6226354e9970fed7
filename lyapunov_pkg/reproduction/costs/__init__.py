"""Estimated costs of the workflow's jobs, from operation counts and a short calibration on this machine.

The operation counts of a job follow from the configuration: networks, steps, sizes, epochs. The time of an operation
was measured on one machine (`constants`). `calibration` measures the speed of the present machine relative to it.
docs/cluster.md states the accuracy.

`data` and `networks` hold the sizes and the operation counts. `rules` has the cost function of each rule.
`python -m lyapunov_pkg.reproduction.costs` prints the cost of a run (`make plan`).
"""
