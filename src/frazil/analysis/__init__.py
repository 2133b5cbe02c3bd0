"""Analysis that is not bound to one experiment."""
