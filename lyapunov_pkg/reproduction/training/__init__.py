"""Training of many variants at once."""
