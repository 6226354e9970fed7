"""Measured times of operations on one core of the reference machine, and sizes in memory and on disk."""

from __future__ import annotations

# Seconds per operation on one core of the reference machine. docs/cluster.md has the commands of the measurements.
TRAINED_FLOP = 1 / 100e9  # a product in training
CALIBRATED = 0.85  # measured time of the batch in `calibrate`, divided by the time from these constants
TRAINED_ELEMENT = 4e-9  # a pre-activation or output in training
TANGENT_FLOP = 1 / 100e9  # a product or orthonormalisation of tangent vectors
RECOMPUTED = 1.5  # cost of steps of trained networks, some of which are recomputed in float64, relative to other steps
FREE_RUN = 1.2  # cost of tangent vectors along a free run, relative to driven networks
TANGENT_STEP = 2e-6  # a step of a trajectory, independent of its size
SPECTRUM = 4e-3  # a spectrum, independent of its size
UPDATE = 1e-3  # an update of a stack's parameters, independent of its size
DENSE_STEP = 0.7e-3  # an update of autoencoders or PredNets, independent of their size
DENSE_FLOP = 1 / 20e9
DOUBLE_FLOP = 1 / 5e9  # small matrices in float64
RLS_FLOP = 1 / 10e9  # recursive least squares
BATCHED_FLOP = 1 / 20e9  # many sequences or matrices together in float64
FLOW_STEP = 4e-6  # a step of a trajectory of the Lorenz system with its tangent vectors

START = 2.0  # seconds before the computation of a job begins: Snakemake, Python and imports
START_WITHOUT_TORCH = 1.1
BASE_MEMORY = 450.0  # MB of a process with PyTorch
STACKED = 8  # networks that are trained together on a CPU
EVALUATED_STEPS = 7000  # steps of validation sequences that are evaluated together
COMPRESSED = 0.92  # size of stored parameters and spectra relative to their bytes
FLOAT = 4e-6  # MB
