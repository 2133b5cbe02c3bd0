"""What a login node knows of a molecule by its name is what a task finds in it, for all that ASE knows."""

import pytest
from ase.collections import g2
from ase.data import chemical_symbols

from frazil.errors import UserError
from frazil.systems.molecules import check_closed_shell
from frazil.systems.settings import SYMBOLS, composition_of, molecule_problem


def test_elements_are_in_their_order() -> None:
    assert chemical_symbols[1:87] == SYMBOLS


@pytest.mark.parametrize("name", g2.names)
def test_open_shells_are_known_by_their_formulas(name: str) -> None:
    atoms = g2[name]
    try:
        check_closed_shell(atoms, name)
        is_open = False
    except UserError:
        is_open = True
    if composition_of(name):
        assert composition_of(name) == {
            symbol: atoms.get_chemical_symbols().count(symbol) for symbol in atoms.get_chemical_symbols()
        }
    assert bool(molecule_problem(name)) == (is_open and bool(composition_of(name)))


def test_names_that_are_no_formulas_tell_nothing() -> None:
    for name in ("smiles:CO", "water.xyz", "isobutane", "CH2_s3B1d", "Qx2", "co"):
        assert composition_of(name) == {}
    assert composition_of("CH3OH") == {"C": 1, "H": 4, "O": 1}
    assert molecule_problem("water.xyz") == (
        "water.xyz: no such file; allowed: a file, a name that ASE knows, smiles:…"
    )
