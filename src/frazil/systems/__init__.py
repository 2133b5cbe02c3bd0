"""What is known of particular systems: CO molecules, diatomics, packings."""
