"""Labels: levels of theory, their shards and store, interactions, and what other codes wrote."""
