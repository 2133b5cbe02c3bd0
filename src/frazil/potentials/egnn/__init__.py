"""The graph network of dynamic training (EGNN), as published and in a smooth, extensive form."""
