"""Photodesorption of CO from an aggregate after vibrational excitation of one molecule."""
