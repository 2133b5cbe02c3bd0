"""Any potential for any experiment, by its folder or its name.

    source = load("model_0")                         # a folder that training wrote: GM-NN or DeePMD-kit
    source = load("van-hemert", coupling_eV=2.0)     # a formula (``NAMED``), GFN-xTB
    source = load("ase:ase.calculators.emt.EMT")     # any ASE calculator, called back; or the object itself
    source = load({"kind": "sum", "parts": ["model_0", {"kind": "wall", "radius_A": 9, …}]})
    potential = source.potential(atoms)              # what the engine runs (``interface.Potential``)

What a mapping says may also be a folder's ``model.json`` (its ``parts`` are then in it). Kinds with parts:
"sum"; "committee", whose mean drives, or a member; "mixture" with ``weights``; "field" with
``field_V_per_A``. Atoms carry what a potential must know: elements, the array ``excited`` of tags
(DeePMD-kit's types), the array ``fixed``.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from frazil.errors import UserError
from frazil.files import sha256_of
from frazil.potentials.folder import DESCRIPTION, FILES, INTERACTION, read_description

if TYPE_CHECKING:
    from frazil.potentials.interface import Potential

ENGINES = ("jax", "lammps")
"""What may run a potential: the engine here, or ``md.lammps`` (a DeePMD-kit folder)."""

Make = Callable[[Sequence[Atoms], int | None], "Potential"]


@dataclass(frozen=True)
class Source:
    """What gives potentials for any atoms that it knows.

    level: of the labels that it was trained on, or its own name. digest: tells its numbers from others'.
    folder: where it lies, None for a formula. model: a GM-NN's file as read, else None.
    """

    kind: str
    level: str
    digest: str
    make: Make
    n_members: int = 1
    folder: Path | None = None
    model: Any = None
    adsorbate: Any = None
    """The file of its adsorbate's own network as read, or None."""
    curves: Mapping[str, Any] = field(default_factory=dict)
    """Of a GM-NN of interactions: what molecules do alone."""

    @property
    def is_one_network(self) -> bool:
        """Whether a GM-NN's file is all there is: no curves of molecules, no network of an adsorbate."""
        return self.model is not None and not self.curves and self.adsorbate is None

    def potential(self, atoms: Atoms | Sequence[Atoms], member: int | None = None) -> "Potential":
        """Return the potential of atoms like these, or of several structures in one batch.

        ``member``: one of a committee; None is the mean. Raises UserError for a member that is not there,
        and for atoms that it is not made for.
        """
        if member is not None and not 0 <= member < self.n_members:
            raise UserError(f"members [{member}] of a committee of {self.n_members}; count from 0")
        structures = [atoms] if isinstance(atoms, Atoms) else list(atoms)
        if not structures:
            raise UserError("a potential of no structure; give at least one")
        return self.make(structures, member)


def load(
    what: Any,
    engine: str = "jax",
    curves: Path | str = "",
    precision: str = "float64",
    **parameters: Any,
) -> Source:
    """Return a potential's source: of a folder (or a file in it), a name, a mapping, or an ASE calculator.

    ``curves``: molecular_curves.csv of a GM-NN of interactions, if it is not in the folder. ``parameters``:
    of a name. ``precision``: float32 or float64, of a DeePMD-kit model's numbers in the compiled kernel;
    other models have their own. Raises UserError for what is none of these, a folder without a model, a
    damaged file, parameters that a name does not take, and a potential that the engine cannot run.
    """
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r}; allowed are {', '.join(ENGINES)}")
    source = _found(what, Path(), curves, parameters, precision)
    if engine == "lammps" and source.kind != "deepmd":
        raise UserError(
            f"{what} is of kind {source.kind}; LAMMPS runs folders of kind deepmd, use the engine jax"
        )
    return source


def _found(
    what: Any, beside: Path, curves: Path | str, parameters: Mapping[str, Any], precision: str = "float64"
) -> Source:
    if isinstance(what, Mapping):
        return _described({**what, **parameters}, beside, curves)
    if not isinstance(what, str | Path):
        return _calculator(what)
    if str(what).startswith("ase:"):
        return _imported(str(what), parameters)
    if str(what) in NAMED:
        return _described({"kind": str(what), **parameters}, beside, curves)
    path = beside / what
    if not path.exists():
        raise UserError(
            f"no potential {path}; give a model folder that training wrote, ase:MODULE.FUNCTION, or one of "
            f"{', '.join(NAMED)}"
        )
    if parameters:
        raise UserError(f"{path} takes no {', '.join(parameters)}; parameters are for {', '.join(NAMED)}")
    return _folder(path, curves, precision)


def _folder(path: Path, curves: Path | str, precision: str) -> Source:
    """Return the source of a folder, or of a file in one."""
    folder = path if path.is_dir() else path.parent
    named = "" if path.is_dir() else path.name
    description: dict[str, Any] = {}
    if (folder / DESCRIPTION).is_file():
        description = read_description(folder)
    # Folders of earlier versions have no description, or one that names no kind.
    known = (named,) if named else tuple(name for files in FILES.values() for name in files)
    file = next((folder / name for name in known if (folder / name).is_file()), None)
    kind = description.get("kind") or ("gmnn" if file and file.suffix == ".h5" else "deepmd")
    if kind not in FILES:
        return _described(description, folder, curves, folder)
    if file is None:
        raise UserError(
            f"{folder} holds no model; give a folder that training wrote, with {' or '.join(known)}"
        )
    if kind == "egnn":
        return _egnn(file)
    return _gmnn(file, curves, description) if kind == "gmnn" else _deepmd(path, description, precision)


def _described(
    description: Mapping[str, Any], beside: Path, curves: Path | str, folder: Path | None = None
) -> Source:
    """Return the source that a mapping describes."""
    plain = ("kind", "format", "format_version", "files", "frazil", "members", "level")
    kind, fields = description.get("kind"), {k: v for k, v in description.items() if k not in plain}
    if kind in NAMED:
        return _named(str(kind), fields)
    if kind not in COMBINED:
        raise UserError(f"a potential of kind {kind!r}; allowed are {', '.join((*COMBINED, *NAMED))}")
    parts = [_found(part, beside, curves, {}) for part in fields.pop("parts", ())]
    allowed = COMBINED[kind]
    if not parts or set(fields) != set(allowed) or (kind in ("committee", "mixture") and len(parts) < 2):
        raise UserError(
            f"a {kind} of {len(parts)} parts with {', '.join(fields) or 'nothing else'}; needed are parts"
            f"{''.join(f', {name}' for name in allowed)}"
        )
    text = json.dumps([kind, fields, [part.digest for part in parts]], sort_keys=True)
    levels = " + ".join(dict.fromkeys(part.level for part in parts))
    members = len(parts) if kind == "committee" else 1

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        if member is not None and kind == "committee":
            return parts[member].make(structures, None)
        return _combined(kind, [part.make(structures, None) for part in parts], fields)

    return Source(kind, levels, hashlib.sha256(text.encode()).hexdigest(), make, members, folder)


COMBINED: dict[str, tuple[str, ...]] = {
    "sum": (),
    "committee": (),
    "mixture": ("weights",),
    "field": ("field_V_per_A",),
}
"""Kinds of potentials that are made of ``parts``, and what else they need."""


def _combined(kind: str, parts: Sequence["Potential"], fields: Mapping[str, Any]) -> "Potential":
    from frazil.potentials import transform

    if kind == "committee":
        return transform.committee_of(parts)
    if kind == "mixture":
        if len(fields["weights"]) != len(parts):
            raise UserError(f"{len(fields['weights'])} weights of {len(parts)} parts; give one for each")
        return transform.mixture_of(parts, fields["weights"])
    whole = transform.sum_of(parts) if len(parts) > 1 else parts[0]
    return transform.InField(whole, np.asarray(fields["field_V_per_A"], float)) if kind == "field" else whole


def _egnn(file: Path) -> Source:
    """Return the source of an EGNN's file."""
    from frazil.potentials.egnn.files import read_model
    from frazil.potentials.egnn.potential import EGNN

    model = read_model(file)

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        return EGNN.of(model.architecture, model.parameters, _only(structures, str(file)).numbers)

    level = str(model.metadata["label_level"])
    return Source("egnn", level, sha256_of(file), make, 1, file.parent)


def _gmnn(file: Path, curves: Path | str, description: Mapping[str, Any]) -> Source:
    """Return the source of a GM-NN file; it is checked again on another machine (``self_check``)."""
    from frazil.potentials.adsorption import TAIL, OnSurface, n_below
    from frazil.potentials.dispersion import Dispersion
    from frazil.potentials.gmnn.committee import (
        ADSORBATE_FILE,
        Committee,
        check_structures,
        checked_on,
        self_check,
    )
    from frazil.potentials.gmnn.files import read_model
    from frazil.potentials.gmnn.potential import GMNN
    from frazil.potentials.molecular import WithMolecules, read_curves

    model = read_model(file)
    level = str(model.metadata["label_level"])
    beside = file.with_name("molecular_curves.csv")
    used = (
        Path(curves) if str(curves) else beside if level.endswith(INTERACTION) and beside.is_file() else None
    )
    if level.endswith(INTERACTION) != (used is not None):
        raise UserError(
            f"{file} was trained on labels of {level!r}, curves of molecules: {used or 'none'}; a model of "
            "interactions needs the molecular_curves.csv that was taken out, any other needs none"
        )
    known = read_curves(used) if used else {}
    share_file = file.with_name(ADSORBATE_FILE)
    share = read_model(share_file) if share_file.is_file() else None
    if share is None and model.metadata.get("adsorbate"):
        raise UserError(
            f"{file} is of a surface; {ADSORBATE_FILE}, which knows {' '.join(model.metadata['adsorbate'])}, "
            "is not beside it; copy the whole folder"
        )
    if share is not None and (share.n_members != model.n_members or not share.architecture.adsorbate):
        raise UserError(f"{share_file} is not of the committee beside it; copy the whole folder")
    if description.get("checked_on") != checked_on():
        for read in (model, share) if share else (model,):
            self_check(Committee(read), check_structures(read.architecture))

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        if share is None:
            return below(structures, member)
        atoms = _only(structures, str(file.parent))
        n = n_below(atoms, share.architecture.adsorbate)
        if n == len(atoms):
            return below([atoms], member)
        added = GMNN.of(share if member is None else share.select([member]), atoms.numbers)
        if known:
            _check_pairs([atoms])
        alone = WithMolecules.of(added, atoms.numbers[n:], known) if known else None
        c6_eV_A6 = share.metadata.get(TAIL)
        own, others = atoms.numbers[n:], atoms.numbers[:n]
        tail = Dispersion.of(c6_eV_A6, own, others) if c6_eV_A6 else None
        return OnSurface(below([atoms[:n]], member) if n else None, added, alone, tail, n)

    def below(structures: Sequence[Atoms], member: int | None) -> "Potential":
        one = model if member is None else model.select([member])
        numbers = [atoms.numbers for atoms in structures]
        if len(numbers) == 1:
            network = GMNN.of(one, numbers[0])
            if not known:
                return network
            _check_pairs(structures)
            return WithMolecules.of(network, numbers[0], known)
        if known:
            raise UserError(
                f"{file} with curves of molecules takes one structure in a batch; run them one by one"
            )
        return GMNN.of_several(one, numbers)

    digest = sha256_of(file, *([share_file] if share else []), *([used] if used else []))
    return Source("gmnn", level, digest, make, model.n_members, file.parent, model, share, known)


def _deepmd(path: Path, description: Mapping[str, Any], precision: str) -> Source:
    """Return the source of a DeePMD-kit folder (or file); the engine runs its frozen one."""
    from frazil.potentials.deepmd.model import FROZEN_FILES, files_of, is_residual, model_file_of

    running = model_file_of(path)

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        from frazil.potentials.deepmd.bond_baseline import BondBaseline
        from frazil.potentials.deepmd.se_e2_a import Bonds, DeepPotSE, type_map_of
        from frazil.potentials.transform import sum_of
        from frazil.systems.co import deepmd_types

        frozen = model_file_of(path, FROZEN_FILES) if path.is_dir() else path
        names = type_map_of(frozen)
        foreign = {symbol for atoms in structures for symbol in atoms.symbols} - {"C", "O"}
        if foreign:
            raise UserError(
                f"atoms of {', '.join(sorted(foreign))} for {frozen}, which knows {' '.join(names)}"
            )
        if len({len(atoms) for atoms in structures}) > 1:
            raise UserError(f"structures of several sizes for {frozen}; run those of one size together")
        types = np.stack([deepmd_types(atoms, excited_types=len(names) > 2) for atoms in structures])
        types = types if len(structures) > 1 else types[0]
        network = DeepPotSE.of(frozen, types, precision)
        if not is_residual(frozen):
            return network
        _check_pairs(structures)
        if any(set(atoms.symbols[::2]) != {"C"} or set(atoms.symbols[1::2]) != {"O"} for atoms in structures):
            raise UserError(f"atoms {structures[0].symbols} for {frozen}, {IN_PAIRS}: C, O, C, O, …")
        return sum_of([network, Bonds.of(BondBaseline.beside(frozen), types[..., ::2] >= 2)])

    folder = path if path.is_dir() else path.parent
    frozen_too = [folder / name for name in FROZEN_FILES if path.is_dir() and (folder / name).is_file()]
    level = str(description.get("level") or "not stated")
    return Source("deepmd", level, sha256_of(*files_of(running), *frozen_too), make, 1, folder)


IN_PAIRS = "whose bonds have curves of their own; atoms go molecule by molecule"
FARTHEST_PARTNERS_A = 3.0
"""Atoms next to each other in order that are farther apart are of two molecules."""


def _check_pairs(structures: Sequence[Atoms]) -> None:
    """Raise UserError unless atoms are diatomics two by two: their bonds are told by the order alone."""
    for atoms in structures:
        if len(atoms) % 2:
            raise UserError(f"{len(atoms)} atoms for a model {IN_PAIRS}")
        lengths = np.linalg.norm(atoms.positions[1::2] - atoms.positions[::2], axis=1)
        if (lengths > FARTHEST_PARTNERS_A).any():
            first = 2 * int(lengths.argmax())
            raise UserError(
                f"atoms {first} and {first + 1} are {lengths.max():.2f} Å apart, for a model {IN_PAIRS}; "
                "put the two of a molecule next to each other"
            )


def _imported(what: str, parameters: Mapping[str, Any]) -> Source:
    """Return the source of ``ase:MODULE.FUNCTION``, which is called for a calculator."""
    module, _, function = what.removeprefix("ase:").rpartition(".")
    try:
        made = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{what}: {error}; give ase:MODULE.FUNCTION of a module that Python finds where tasks run: the "
            "folder of a module of your own goes into PYTHONPATH (export PYTHONPATH=FOLDER)"
        ) from error
    return _calculator(made(**parameters), f"{what} {json.dumps(dict(parameters), sort_keys=True)}")


def _calculator(calculator: Any, described: str = "") -> Source:
    """Return the source of an ASE calculator."""
    from frazil.potentials.callback import described_as, of_calculator

    if not hasattr(calculator, "implemented_properties"):
        raise UserError(
            f"a potential that is a {type(calculator).__name__}; give a folder, a name or an ASE calculator"
        )
    described = described or described_as(calculator)

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        return of_calculator(calculator, _only(structures, described))

    return Source("ase", described, hashlib.sha256(described.encode()).hexdigest(), make)


NAMED: dict[str, dict[str, Any]] = {
    "van-hemert": {"coupling_eV": None, "with_dipole": False},
    "h2-co-analytic": {},
    "springs": {"stiffness_eV_per_A2": None},
    "harmonic": {"stiffness_eV_per_A2": None, "length_A": None},
    "morse": {"depth_eV": None, "exponent_per_A": None, "length_A": None},
    "lennard-jones": {"epsilon_eV": None, "sigma_A": None},
    "q-tip4p-f": {},
    "co-crystal": {},
    "n2-trappe": {},
    "rock-salt": {},
    "wall": {"radius_A": None, "stiffness_eV_per_A2": None},
    "gfn1-xtb": {},
    "gfn2-xtb": {},
}
"""Potentials by name, and their parameters with what they are if not given (None: they must be)."""


def _named(name: str, parameters: Mapping[str, Any]) -> Source:
    """Return the source of a formula or a semiempirical level."""
    given = {**NAMED[name], **parameters}
    if set(given) != set(NAMED[name]) or None in given.values():
        raise UserError(
            f"{name} with {', '.join(parameters) or 'no parameters'}; it takes "
            f"{', '.join(NAMED[name]) or 'none'}"
        )

    def make(structures: Sequence[Atoms], member: int | None) -> "Potential":
        from frazil.potentials.transform import SameForAll

        potential = _formula(name, _only(structures, name), given)
        return SameForAll(potential) if len(structures) > 1 else potential

    text = json.dumps([name, given], sort_keys=True)
    return Source(name, name, hashlib.sha256(text.encode()).hexdigest(), make)


def _formula(name: str, atoms: Atoms, parameters: Mapping[str, Any]) -> "Potential":
    from frazil.potentials.analytic import simple
    from frazil.potentials.analytic.h2_co import H2OnCO
    from frazil.potentials.analytic.van_hemert import VanHemert
    from frazil.potentials.semiempirical import METHODS, semiempirical

    if name in METHODS:
        return semiempirical(name, atoms)
    if name == "h2-co-analytic":
        return H2OnCO(*_fixed_and_hydrogen(atoms))
    if name == "q-tip4p-f":
        from frazil.potentials.analytic.water import of_water

        return of_water(atoms)
    if name == "co-crystal":
        from frazil.potentials.analytic.co_crystal import of_crystal

        return of_crystal(atoms)
    if name == "rock-salt":
        from frazil.potentials.analytic.rock_salt import of_salt

        return of_salt(atoms)
    if name == "n2-trappe":
        from frazil.potentials.analytic.n2 import of_nitrogen

        return of_nitrogen(atoms)
    if name == "van-hemert":
        _check_molecules(atoms, atoms.get_chemical_symbols())
        return VanHemert(**parameters)
    classes: dict[str, Callable[..., Potential]] = {
        "springs": simple.Springs, "harmonic": simple.HarmonicBonds, "morse": simple.MorseBonds,
        "lennard-jones": simple.LennardJones, "wall": simple.SphericalWall,
    }  # fmt: skip
    return classes[name](**parameters)


def _fixed_and_hydrogen(atoms: Atoms) -> tuple[int, bool]:
    """Return how many of the last CO molecules are fixed, and whether H2 comes after them."""
    symbols = atoms.get_chemical_symbols()
    hydrogen = symbols[-2:] == ["H", "H"]
    co = symbols[:-2] if hydrogen else symbols
    _check_molecules(atoms, co)
    fixed = np.asarray(atoms.arrays.get("fixed", np.zeros(len(atoms))), bool)
    n_fixed = int(fixed.sum()) // 2
    if not fixed[len(co) - 2 * n_fixed : len(co)].all():
        raise UserError("fixed molecules before others; the known truth wants them to be the last of the CO")
    return n_fixed, hydrogen


def _check_molecules(atoms: Atoms, symbols: Sequence[str]) -> None:
    if list(symbols) != ["C", "O"] * (len(symbols) // 2):
        raise UserError(
            f"atoms {atoms.symbols}; they must be ordered C, O, C, O, … (h2-co-analytic: H, H after them)"
        )


def _only(structures: Sequence[Atoms], name: str) -> Atoms:
    """Return the first of structures that have the same elements and cell. Raises UserError for others."""
    first = structures[0]
    cells = [atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3)) for atoms in structures]
    if any(not np.array_equal(atoms.numbers, first.numbers) for atoms in structures) or any(
        not np.array_equal(cell, cells[0]) for cell in cells
    ):
        raise UserError(f"{name} takes one structure in a batch; run those of other elements or cells apart")
    return first
