"""DeePMD-kit's models: by its library, by LAMMPS, and in the engine."""
