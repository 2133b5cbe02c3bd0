"""Data sets of other codes: readers, what is suspect about them, and the step that imports them."""
