"""Systems that exponents can be taken of besides networks."""
