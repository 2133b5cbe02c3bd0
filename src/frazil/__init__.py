"""frazil: from quantum-chemistry labels to trajectory ensembles with publishable statistics."""

__version__ = "0.1.0"
