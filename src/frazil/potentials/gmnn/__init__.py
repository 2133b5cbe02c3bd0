"""Gaussian-moment neural networks (Zaverkin & Kästner, J. Chem. Theory Comput. 16, 5410, 2020; 17, 6658,
2021).

``architecture`` parameters and how they fold into plain weights · ``neighbours`` dense lists · ``reference``
the model as the equations read · ``fast`` the same numbers as fast as JAX gives them · ``committee`` several
members at once · ``files`` the model file · ``calculator`` ASE · ``apax`` its parameters.
"""
