"""Aggregates of any molecules under any potential: packed, relaxed, with the curve of one bond.

What a run cannot do is told here, before any dynamics: a molecule that is none or falls apart, elements that
the potential does not know, a bond that the molecule does not have, an energy that the bond does not hold.
"""

from collections.abc import Sequence
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas

from frazil.errors import UserError
from frazil.experiments.photodesorption.engines import TAGGED, source_of
from frazil.experiments.photodesorption.settings import Excitation
from frazil.files import write_atomic
from frazil.potentials.registry import Source
from frazil.report.section import Figure, Section, Table
from frazil.systems.diatomic import BondCurve
from frazil.systems.molecules import MOLECULE, Molecules, bond_of, molecule
from frazil.systems.packing import random_aggregate, shared_out
from frazil.tables import ALL_DIGITS
from frazil.tables import Table as Declared

CURVES = Declared(
    "bond_curves",
    "*bond_length_A label_eV? model_eV? model_excited_eV?",
    order="given",
    digits=ALL_DIGITS,
    made_by="prepare_aggregates.py",
)
MEMBERS, AGGREGATES, CURVE_FILE = "curves", "aggregates.extxyz", "bond_curves.csv"
MAX_FORCE_eV_per_A = 0.005
MAX_STEPS = 5000


def prepare(
    molecule: str,
    model: Path | str,
    excite: Excitation,
    dissociation_A: float,
    n_molecules: int,
    aggregate_radius_A: float,
    packing_distance_A: float,
    n_aggregates: int,
    model_error: bool,
    campaign_seed: int,
    out: Path,
    other_molecules: Sequence[str] = (),
    parts: Sequence[float] = (),
    bond_curve_file: Path | None = None,
) -> str:
    """Write ``aggregates.extxyz``, ``bond_curves.csv`` and a section into ``out``; return what they are.

    With ``model_error`` and a committee, the folder ``curves`` has a table for each member. ``label_eV`` is
    the curve that the excitation follows: that of ``bond_curve_file``, or the potential's own. Raises
    UserError for what the module says, and for aggregates that do not relax or lose a molecule.
    """
    source = source_of(model, "float64")
    kinds = kinds_at_rest(molecule, other_molecules, parts, n_molecules, source)
    one = kinds[0][0]
    bond = bond_of(one, excite.bond)
    curves = [_curves(source, one, bond, member) for member in (None, *_members(source, model_error))]
    mass_amu = curves[0][1].reduced_mass_amu
    followed = None if bond_curve_file is None else BondCurve.read(bond_curve_file, "label_eV", mass_amu)
    energy_eV = _held(excite, one, followed, curves[0][1], dissociation_A)
    aggregates = [
        _relaxed(source, kinds, aggregate_radius_A, packing_distance_A, campaign_seed, number)
        for number in range(n_aggregates)
    ]
    out.mkdir(parents=True, exist_ok=True)
    with write_atomic(out / AGGREGATES) as partial:
        ase.io.write(partial, aggregates, format="extxyz")
    for number, (ground, excited) in enumerate(curves):
        place = out if number == 0 else out / MEMBERS
        name = CURVES.name if number == 0 else f"member_{number - 1:03d}"
        _write_curves(ground, excited, followed, place, name)
    described = source.kind if source.level in ("", source.kind) else f"{source.kind} ({source.level})"
    held = " and ".join(f"{number} {kind.get_chemical_formula()}" for kind, number in kinds)
    _section(one, bond, followed or curves[0][1], energy_eV, described, n_aggregates, held, out)
    return (
        f"{n_aggregates} aggregates of {held} under {described}; the "
        f"bond {bond[0]},{bond[1]} is {curves[0][0].minimum_A:.4f} Å long at rest"
    )


def kinds_at_rest(
    what: str, others: Sequence[str], parts: Sequence[float], n_molecules: int, source: Source
) -> list[tuple[ase.Atoms, int]]:
    """Return the molecule with the bond to excite and the others at rest, and how many of each there are.

    ``parts``: of all of them, in any unit; none are equal ones. Raises UserError as ``at_rest`` does, for a
    single atom to excite, too few molecules to have one of each, and for two kinds of the same atoms.
    """
    if len(molecule(what)) < 2:
        raise UserError(f"{what} is a single atom; a molecule with a bond to excite is needed")
    kinds = [at_rest(name, source) for name in (what, *others)]
    counts = shared_out(n_molecules, parts or [1.0] * len(kinds))
    if not all(counts):
        raise UserError(
            f"{n_molecules} molecules shared out as {', '.join(map(str, counts))} leave none of some kind; "
            "give more molecules (frames.n_molecules) or other photodesorption.parts"
        )
    if len({tuple(kind.numbers) for kind in kinds}) < len(kinds):
        raise UserError(
            f"{', '.join((what, *others))}: two of these have the same atoms, so that outcomes could not "
            "tell them apart; give each kind once (photodesorption.molecule, photodesorption.other_molecules)"
        )
    return list(zip(kinds, counts, strict=True))


def at_rest(what: str, source: Source) -> ase.Atoms:
    """Return the molecule of a name, SMILES or file at rest under a potential.

    Raises UserError for what is no molecule, elements that the potential does not know, and a molecule that
    has no minimum near.
    """
    from frazil.potentials.surface import members_of
    from frazil.systems.minima import model_minimum

    one = molecule(what)
    source.potential(one)
    if len(one) < 2:
        return one
    relaxed = model_minimum(one, what, members_of(source, one)).atoms
    if len(Molecules.of(relaxed)) != 1:
        raise UserError(f"{what} alone falls apart under the potential; give another potential")
    found = ase.Atoms(relaxed.numbers, relaxed.positions)
    found.info["name"] = one.info["name"]
    return found


def _members(source: Source, model_error: bool) -> Sequence[int]:
    return range(source.n_members) if model_error and source.n_members > 1 else ()


def _curves(
    source: Source, one: ase.Atoms, bond: tuple[int, int], member: int | None
) -> tuple[BondCurve, BondCurve]:
    """Return the curves of the bond in the ground state and excited; without tags they are the same."""
    from frazil.potentials.surface import bond_curve_of

    ground = bond_curve_of(source, one, bond, member)
    if source.kind != TAGGED:
        return ground, ground
    tagged = one.copy()
    tagged.set_array("excited", np.ones(len(one), int), int)
    return ground, bond_curve_of(source, tagged, bond, member)


def _held(
    excite: Excitation, one: ase.Atoms, followed: BondCurve | None, excited: BondCurve, dissociation_A: float
) -> float:
    """Return the energy of the excitation above the curve's minimum.

    Raises UserError for one that the bond does not hold: above its dissociation, or where it swings out so
    far that it would count as broken; and for a quantum number of what is no diatomic.
    """
    name = one.get_chemical_formula()
    curve = excited if excite.excitation == "model_curve" or followed is None else followed
    if excite.excitation != "energy" and len(one) != 2:
        raise UserError(
            f"vibrational state of {name}; only a diatomic has one here: give --excitation energy and "
            "--excitation-energy-eV"
        )
    if excite.excitation == "energy":
        energy_eV = excite.excitation_energy_eV
    else:
        energy_eV = curve.energy_of(excite.vibrational_quantum_number)
    for which in (curve, excited):
        _, outer_A = which.turning_points(energy_eV)
        if outer_A > dissociation_A:
            raise UserError(
                f"the bond of {name} with {energy_eV:.4g} eV swings out to {outer_A:.2f} Å, counted as "
                f"broken from {dissociation_A:g} Å on (--dissociation-A); give a lower energy or a longer "
                "limit"
            )
    return energy_eV


def _relaxed(
    source: Source,
    kinds: Sequence[tuple[ase.Atoms, int]],
    radius_A: float,
    distance_A: float,
    campaign_seed: int,
    number: int,
) -> ase.Atoms:
    """Return one aggregate at its minimum, with the molecule of each atom in an array."""
    from frazil.md.minimize import minimize

    molecules = Molecules.of_kinds(kinds)
    packed = random_aggregate(len(molecules), radius_A, campaign_seed, number, kinds, distance_A)
    plain = ase.Atoms(packed.numbers, packed.positions)
    found = minimize(
        source.potential(plain), plain.positions[None], None, MAX_FORCE_eV_per_A, MAX_STEPS, width=1
    )
    if not found.converged[0]:
        raise UserError(
            f"aggregate {number} did not relax below {MAX_FORCE_eV_per_A:g} eV/Å in {int(found.n_steps[0])} "
            f"steps (left: {found.max_forces[0]:.2g}); give a larger aggregate radius (frames."
            "aggregate_radius_A), or another potential"
        )
    if (broken := molecules.broken(found.positions)) is not None:
        raise UserError(
            f"aggregate {number}: a bond of molecule {broken[0]} is {broken[1]:.2f} Å long after relaxing; "
            "give a larger packing distance (frames.packing_distance_A), or another potential"
        )
    middle = molecules.middle(molecules.centres(found.positions[0]))
    relaxed = ase.Atoms(packed.numbers, found.positions[0] - middle)
    relaxed.set_array("excited", np.zeros(len(relaxed), int), int)
    relaxed.set_array(MOLECULE, molecules.owner, int)
    relaxed.info |= {"aggregate_id": number, "energy_eV": float(found.energies[0])}
    return relaxed


def _write_curves(
    ground: BondCurve, excited: BondCurve, followed: BondCurve | None, out: Path, name: str
) -> None:
    """Write a table of the curves, each above its minimum; cells are empty beyond a curve's ends."""
    label = excited if followed is None else followed
    known = (ground, excited, label)
    lengths = np.linspace(min(c.shortest_A for c in known), max(c.longest_A for c in known), N_ROWS)
    rows = {
        "bond_length_A": lengths, "label_eV": label.energy(lengths), "model_eV": ground.energy(lengths),
        "model_excited_eV": excited.energy(lengths),
    }  # fmt: skip
    table = CURVES.named(name)
    table.write(pandas.DataFrame(rows), out)


N_ROWS = 400
"""Of a table of bond curves: twice as many as the curve was computed at, so that its spline is kept."""


def _section(
    one: ase.Atoms,
    bond: tuple[int, int],
    curve: BondCurve,
    energy_eV: float,
    described: str,
    n_aggregates: int,
    held: str,
    out: Path,
) -> None:
    """Write the report's section on what a potential makes of aggregates: the bond that is excited."""
    name, symbols = one.get_chemical_formula(), one.get_chemical_symbols()
    between = f"{symbols[bond[0]]}–{symbols[bond[1]]}"
    inner, outer = (float(x) for x in curve.turning_points(energy_eV))
    state = ""
    if len(one) == 2:
        v = float(curve.vibrational_number(energy_eV))
        state = f" (v = {v:.2f} by EBK)"
    Section(
        title="Potential",
        headline=f"{described}: a {between} bond of {name} at rest is {curve.minimum_A:.4f} Å long.",
        text=[
            f"{described} drives {n_aggregates} aggregates of {held}, "
            f"packed at random and relaxed to forces below {MAX_FORCE_eV_per_A:g} eV/Å. The curve of the "
            f"{between} bond is that of one molecule alone, other atoms at rest: its harmonic wavenumber is "
            f"{curve.harmonic_wavenumber_cm1:.0f} cm⁻¹, and {energy_eV:.4g} eV{state} swing it between "
            f"{inner:.3f} and {outer:.3f} Å."
        ],
        figures=[_figure(curve, energy_eV, between, name, out)],
        tables=[Table(CURVE_FILE, f"Curve of the {between} bond of {name}.")],
        references=["@packmol2009: packing"],
    ).write(out)


def _figure(curve: BondCurve, energy_eV: float, between: str, name: str, out: Path) -> Figure:
    from frazil.report.plot import GREY, MODEL, label, new, save

    lengths = np.linspace(curve.shortest_A, curve.longest_A, N_ROWS)
    energies = curve.energy(lengths)
    canvas, grid = new()
    axes = grid[0, 0]
    axes.plot(lengths, energies, color=MODEL, label=f"{between} of {name}")
    inner, outer = curve.turning_points(energy_eV)
    axes.plot([inner, outer], [energy_eV, energy_eV], color=GREY, label=f"excitation, {energy_eV:.3g} eV")
    axes.set_ylim(-0.5, 1.5 * energy_eV)
    axes.legend()
    label(axes, "bond length (Å)", "energy above the minimum (eV)")
    table = pandas.DataFrame({"bond_length_A": lengths, "energy_eV": energies})
    caption = f"Energy along the {between} bond of one {name}, and where the excitation takes it."
    return save(canvas, table, out, "bond_curve", caption)
