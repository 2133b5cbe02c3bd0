"""The free energy that holds a molecule in a cluster or crystal, classical and with quantum nuclei."""
