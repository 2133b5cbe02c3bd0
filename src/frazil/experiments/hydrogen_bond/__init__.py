"""The free energy that holds a molecule in a cluster, classical and with quantum nuclei."""
