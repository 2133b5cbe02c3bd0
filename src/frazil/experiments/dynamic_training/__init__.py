"""Dynamic training against controls of the same data, the same restarts and the same work."""
