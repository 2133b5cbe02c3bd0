"""Raman spectra of molecules and crystals for light of any polarization, with both errors."""
