"""Figures of chapter 4: Lyapunov vectors beside gradients, and inputs flipped where states expand."""
