"""What stands beside a network that was trained without the bonds, so that nobody runs it without them.

The network has a name that DeePMD-kit, ASE and LAMMPS refuse. A LAMMPS input and an ASE calculator beside it
run the whole model; neither needs frazil.
"""

import shutil
from pathlib import Path

from ase import Atoms

from frazil.files import write_atomic
from frazil.potentials.deepmd import standalone
from frazil.potentials.deepmd.bond_baseline import TABLE, BondBaseline
from frazil.potentials.deepmd.model import MODEL_FILES
from frazil.systems.co import TYPE_MAP, lammps_names, write_lammps_data

INPUT, DATA, CALCULATOR, README = "in.lammps", "example.data", "ase_calculator.py", "README.md"
POINTS = 20_000
"""Of LAMMPS' own spline, which then gives the energies of bond.table's to 1e-8 eV."""

LAMMPS = """\
# The energy of the whole model: network and bonds. Run it in this folder, with DeePMD-kit's plugin of LAMMPS:
#   lmp -in {input} [-var data FILE]
# then add your own fix and run. Types 1 to 4 of FILE are {types}.
variable data index {data}
units metal
boundary s s s
atom_style atomic
read_data ${{data}}
# DeePMD-kit knows a network by its ending. The copy lacks the bonds, as the network does: it goes at once.
shell cp {network} network.loading.pb
pair_style hybrid/overlay deepmd network.loading.pb table spline {points}
pair_coeff * * deepmd {names}
{bonds}
shell rm network.loading.pb
neighbor 2.0 bin
thermo_style custom step pe
thermo_modify format float %.12f
thermo 1
run 0
"""

TEXT = """\
# A model in two parts: both are needed
`{network}` is a network of DeePMD-kit that was trained **without the C–O bonds**; `{table}` has
the bonds. The network alone misses some 11 eV for each CO that breaks. So it has a name that DeePMD-kit, ASE
and LAMMPS do not load; do not rename it to .pb.

| to run it with | do |
|---|---|
| LAMMPS with DeePMD-kit | `lmp -in {input}` in this folder: `{data}`; another: `-var data FILE` |
| ASE with DeePMD-kit | `from {module} import WithBonds; atoms.calc = WithBonds("FOLDER")` |
| frazil | `load("FOLDER").potential(atoms)`, or `--model FOLDER` of its steps |

All three give the same energies. Free molecules only, no virial. C–O bonds are switched off between 1.35 and
1.75 Å, so every C and O that are closer than that count as bonded. `model.json` says what it was trained on.
"""


def write_beside(folder: Path, bonds: BondBaseline, type_map: list[str], example: Atoms) -> None:
    """Write README, LAMMPS input, its example and the ASE calculator into a model's folder."""
    network = MODEL_FILES[1]
    names = lammps_names(type_map)
    coefficients = "\n".join(bonds.lammps_commands(Path(network), tagged=names == TYPE_MAP)).replace('"', "")
    texts = {
        INPUT: LAMMPS.format(
            input=INPUT, data=DATA, network=network, points=POINTS, names=" ".join(names), bonds=coefficients,
            types=" ".join(TYPE_MAP),
        ),
        README: TEXT.format(
            network=network, table=TABLE, input=INPUT, data=DATA, module=Path(CALCULATOR).stem
        ),
    }  # fmt: skip
    for name, text in texts.items():
        with write_atomic(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    still = example.copy()
    still.arrays.pop("momenta", None)
    write_lammps_data(folder / DATA, still)
    shutil.copyfile(standalone.__file__, folder / CALCULATOR)
