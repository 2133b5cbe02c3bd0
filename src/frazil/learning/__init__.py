"""Training of learned potentials: the fit, its holes, and its errors."""
