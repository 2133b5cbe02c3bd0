"""Sticking of H2 on CO ice: surfaces, binding energies, collisions, sticking coefficients, residence times.

Molpeceres, Zaverkin, Watanabe & Kästner, Astron. Astrophys. 648, A84 (2021), "the paper" here.
"""
