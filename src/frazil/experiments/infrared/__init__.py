"""Infrared spectra of clusters: active learning of energy and dipole, harmonic and dynamical spectra.

Tang, Bromley & Hammer, A machine learning potential for simulating infrared spectra of nanosilicate clusters
(2023).
"""
