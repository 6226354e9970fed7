"""Chapter 4: alignment of Lyapunov vectors with gradients of the recurrent weights, and flips of inputs."""
