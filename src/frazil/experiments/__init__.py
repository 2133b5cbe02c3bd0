"""One package per experiment: initial conditions, stop rule, reduction."""
