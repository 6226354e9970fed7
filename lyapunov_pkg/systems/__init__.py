"""Dynamical systems other than networks: maps, and flows of ordinary differential equations."""

from __future__ import annotations

from lyapunov_pkg.systems.flows import DampedOscillator, Flow, HenonHeiles, Lorenz, Lorenz96, Rossler
from lyapunov_pkg.systems.maps import (
    AutonomousMap,
    CatMap,
    Henon,
    Ikeda,
    LinearMap,
    LogisticMap,
    StandardMap,
    TowelMap,
    autonomous_inputs,
    orthogonal_map,
    trajectory,
)
from lyapunov_pkg.systems.transposed import TransposedJacobian

__all__ = [
    "AutonomousMap",
    "CatMap",
    "DampedOscillator",
    "Flow",
    "Henon",
    "HenonHeiles",
    "Ikeda",
    "LinearMap",
    "LogisticMap",
    "Lorenz",
    "Lorenz96",
    "Rossler",
    "StandardMap",
    "TowelMap",
    "TransposedJacobian",
    "autonomous_inputs",
    "orthogonal_map",
    "trajectory",
]
