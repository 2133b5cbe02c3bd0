"""Levels of theory against coupled cluster: interaction energies of CO with H2 and with CO, as in Appendix A.

Molpeceres, Zaverkin, Watanabe & Kästner, Astron. Astrophys. 648, A84 (2021), Tables A.1 and A.2.
"""
