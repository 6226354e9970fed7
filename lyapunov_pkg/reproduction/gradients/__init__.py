"""Chapter 4: gradients of the recurrent weights beside Lyapunov vectors, and inputs flipped where states expand."""
