"""Figures of chapter 4: alignment of Lyapunov vectors with gradients, and flips of inputs."""
