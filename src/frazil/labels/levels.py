"""Levels of theory by name: what each gives to a frame, what it warns of, and what it will cost.

A labeller is registered in ``LEVELS`` and answers, frame by frame, with a Label or with the reason why there
is none.
"""

import math
import os
import shutil
import signal
import string
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import ase.io
import numpy as np
from ase import Atoms

import frazil
from frazil.cost import FACTORS, label_s, times_asked
from frazil.data.cells import heights, moved, problem_of_cell
from frazil.errors import UserError
from frazil.files import sha256_of
from frazil.labels import electronic_structure
from frazil.labels.imports.sheet import Entry
from frazil.labels.own_level import DECLARATION, TEMPLATE, read_own_level
from frazil.labels.settings import KNOWN_TRUTHS
from frazil.labels.store import Label
from frazil.systems.molecules import BOND_SLACK_A, molecules_of

CO_SCAN_A = np.linspace(0.75, 3.2, 246)
"""Bond lengths of a curve of CO where a label costs nothing."""
COARSE_CO_SCAN_A = np.linspace(0.85, 2.45, 65)
"""The same for electronic structure; the classical motion at v = 40 ends at 1.97 Å."""
UNSTRETCHED_SLACK_A = 0.2
"""A bond longer than the covalent radii by more than this is stretched: GFN-FF would not see it as a bond."""
MOVED_A = 1e-3
"""A program that moves an atom by more (Å) has labelled another frame."""
LEAST_HEIGHT_A = 10.0
"""Opposite faces of a cell that are nearer want more than the Γ point; a rule of thumb."""
KEPT_LINES = 3
"""Last lines of a program's complaint that a failure quotes."""


class Labeller(Protocol):
    """A level of theory. ``code`` names program and settings: labels of two codes never share a dataset."""

    code: str
    version: str
    details: tuple[str, ...] = ()
    """Names of what a label has to hold besides energy, forces and dipole."""
    bond_scan_A: np.ndarray = COARSE_CO_SCAN_A
    """Lengths for the curve of one CO."""
    limit_s: float = 0.0
    """Wall time that one frame is allowed, seconds; 0: any."""

    def seconds(self, atoms: Atoms) -> float:
        """Return what one frame is expected to cost on one core; not a number where that is not known."""
        return math.nan

    def warning(self, frames: Sequence[Atoms]) -> str:
        """Return, for people, what is wrong with labelling these frames at this level; mostly nothing."""
        return ""

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield a label, or the reason of its absence, for each frame in turn."""
        ...


class VanHemertLabeller(Labeller):
    """The analytic CO–CO field with guard and excited-bond attraction (``analytic.van_hemert``)."""

    version = frazil.__version__
    bond_scan_A = CO_SCAN_A
    batch = 64

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.coupling_eV = float(settings["coupling_eV"])
        self.code = f"frazil-van-hemert(coupling_eV={self.coupling_eV:g})"

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame in a batch."""
        return label_s("van-hemert", Counter(atoms.get_chemical_symbols()))

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, evaluated in batches of constant width over frames of equal size."""
        answers: list[Label | str] = ["not a list of CO molecules ordered C, O, C, O, …"] * len(frames)
        sizes: dict[int, list[int]] = {}
        for number, atoms in enumerate(frames):
            if atoms.pbc.any():
                answers[number] = "periodic; van-hemert is for free aggregates, co-crystal for crystals"
            elif atoms.get_chemical_symbols() == ["C", "O"] * (len(atoms) // 2) and len(atoms):
                sizes.setdefault(len(atoms), []).append(number)
        for members in sizes.values():
            for start in range(0, len(members), self.batch):
                chosen = members[start : start + self.batch]
                for number, label in zip(chosen, self._evaluate([frames[i] for i in chosen]), strict=True):
                    answers[number] = label
        yield from answers

    def _evaluate(self, frames: Sequence[Atoms]) -> list[Label]:
        """Return the labels of at most ``batch`` frames of equal size."""
        from frazil.potentials.analytic.van_hemert import evaluate

        positions = np.array([atoms.positions for atoms in frames])
        padded = positions[np.minimum(np.arange(self.batch), len(frames) - 1)]
        energies, forces, dipoles = (np.asarray(value) for value in evaluate(padded, self.coupling_eV))
        return [Label(float(energies[i]), forces[i], dipoles[i]) for i in range(len(frames))]


class COCrystalLabeller(Labeller):
    """The known truth of crystals of CO (``analytic.co_crystal``), for frames C, O, C, O, … in cells."""

    code = "frazil-co-crystal"
    version = frazil.__version__

    def __init__(self, settings: Mapping[str, Any]) -> None:
        pass

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame."""
        return label_s("co-crystal", Counter(atoms.get_chemical_symbols()))

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, or why a frame is no crystal of CO."""
        import jax

        from frazil.potentials.analytic.co_crystal import COCrystal, of_crystal

        compiled = jax.jit(jax.value_and_grad(lambda x, cell: COCrystal(cell).energy(x)))
        for atoms in frames:
            try:
                cell_A = of_crystal(atoms).cell_A
            except UserError as error:
                yield str(error)
                continue
            energy_eV, slopes = compiled(atoms.positions, cell_A)
            yield Label(float(energy_eV), -np.asarray(slopes), None)


class H2OnCOLabeller(Labeller):
    """The analytic known truth of H2 on CO (``potentials.h2_co``), for frames C, O, C, O, … and at most one
    H2.
    """

    code = "frazil-h2-co"
    version = frazil.__version__

    def __init__(self, settings: Mapping[str, Any]) -> None:
        pass

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame."""
        return label_s("h2-co-analytic", Counter(atoms.get_chemical_symbols()))

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels."""
        from frazil.potentials.analytic.h2_co import evaluate

        for atoms in frames:
            if atoms.pbc.any():
                yield "periodic; the known truth of H2 on CO is for free clusters"
                continue
            symbols = atoms.get_chemical_symbols()
            hydrogen = symbols[-2:] == ["H", "H"]
            n_co = len(symbols) // 2 - hydrogen
            if not symbols or symbols != ["C", "O"] * n_co + ["H", "H"] * hydrogen:
                yield "not CO molecules ordered C, O, C, O, … with or without one H2 after them"
                continue
            energies, forces = evaluate(atoms.positions[None], hydrogen)
            yield Label(float(energies[0]), np.asarray(forces[0]), None)


class FormulaLabeller(Labeller):
    """A formula of the registry as the known truth of its molecules: N2 (n2-trappe), water (q-tip4p-f)."""

    version = frazil.__version__

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name, self.code = name, f"frazil-{name}"

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame."""
        return label_s(self.name, Counter(atoms.get_chemical_symbols()))

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, or why the formula does not know a frame; what it compiled serves its size."""
        from frazil.potentials.calculator import load

        made: dict[bytes, Any] = {}
        for atoms in frames:
            key = atoms.numbers.tobytes()
            if key not in made:
                made[key] = load(self.name)
            yield by_calculator(atoms, partial(made.get, key), UserError, in_cells=True)


class PySCFLabeller(Labeller):
    """A level of ``electronic_structure``, frame by frame, for any neutral closed-shell frame.

    Settings ``hessian`` and ``polarizability`` (true or false) ask for more than energy, forces and dipole;
    ``frame_limit_s`` is ``limit_s``.
    """

    code = electronic_structure.CODE

    def __init__(self, level: str, settings: Mapping[str, Any]) -> None:
        self.level = level
        self.version = electronic_structure.code_version()
        self.extras = {name: True for name in FACTORS if settings.get(name, False)}
        self.limit_s = float(settings.get("frame_limit_s", 0))
        details = {
            "hessian": ("label_hessian_eV_per_A2", "label_dipole_derivatives_e"),
            "polarizability": ("label_polarizability_A3",),
        }
        self.details = tuple(name for extra in self.extras for name in details[extra])
        self._known_seconds: dict[str, float] = {}

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost by the number of basis functions, counted once for each formula."""
        formula = atoms.get_chemical_formula()
        if formula not in self._known_seconds:
            plain = electronic_structure.seconds(atoms, self.level)
            self._known_seconds[formula] = times_asked(*self.extras) * plain
        return self._known_seconds[formula]

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Say on standard error what it will cost; then labels, or the reason where there is none."""
        print(f"{self.level}: {estimate(frames, self)}", file=sys.stderr)
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        try:
            point = electronic_structure.single_point(atoms, self.level, **self.extras, limit_s=self.limit_s)
        except (UserError, electronic_structure.NotConverged) as error:
            return str(error)
        details: dict[str, Any] = {
            "label_attempt": point.attempt,
            "label_net_force_eV_per_A": point.net_force_eV_per_A,
            "label_net_torque_eV": point.net_torque_eV,
        }
        for name in self.details:
            details[name] = getattr(point, name.removeprefix("label_"))
        return Label(point.energy_eV, point.forces_eV_per_A, point.dipole_eA, details)


class SemiempiricalLabeller(Labeller):
    """GFN1-xTB or GFN2-xTB by tblite: energy, forces, dipole. Not for CO with CO or H2: see ``WARNING``.

    Crystals and liquids are labelled in their cells, without a dipole, at the Γ point alone: tblite has no
    other, see ``SMALL``.
    """

    code = "tblite"
    WARNING = (
        "warning: {n} of {total} frames hold CO beside another molecule. GFN-xTB has no repulsion between "
        "carbons (CO dimers bind where BHLYP-D4 repels by 9 kJ/mol, and react): do not train on such labels"
    )

    SMALL = (
        "warning: {n} of {total} frames have a cell of less than {least:g} Å between opposite faces. tblite "
        "computes crystals at the Γ point alone, which is another level in each small cell: repeat the cells"
    )

    def __init__(self, method: str, settings: Mapping[str, Any]) -> None:
        self.method = method
        self.version = installed("tblite")

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame, measured for 5 and 10 atoms."""
        return label_s(self.method.lower(), Counter(atoms.get_chemical_symbols()))

    def warning(self, frames: Sequence[Atoms]) -> str:
        """Return how many frames this method gets wrong, and how many have cells too small for it."""
        wrong = sum(with_carbon_monoxide(atoms) for atoms in frames)
        small = sum(atoms.pbc.all() and heights(atoms.cell.array).min() < LEAST_HEIGHT_A for atoms in frames)
        told = [self.WARNING.format(n=wrong, total=len(frames))] if wrong else []
        if small:
            told.append(self.SMALL.format(n=small, total=len(frames), least=LEAST_HEIGHT_A))
        return "\n".join(told)

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Warn of frames that this method gets wrong; then yield labels."""
        if warning := self.warning(frames):
            print(warning, file=sys.stderr)
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        from ase.calculators.calculator import CalculatorError
        from tblite.ase import TBLite

        made = lambda: TBLite(method=self.method, verbosity=0)  # noqa: E731
        return by_calculator(atoms, made, CalculatorError, in_cells=True)


class ForceFieldLabeller(Labeller):
    """GFN-FF: energy and forces, for exploring. Its topology is the frame's, so no bond may be stretched."""

    code = "gfnff"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.version = installed("gfnff")

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame with its topology."""
        return label_s("gfn-ff", Counter(atoms.get_chemical_symbols()))

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, or the reason where a molecule is too far from its minimum."""
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        from gfnff.ase_calculator import GFNFF

        molecules = molecules_of(atoms, BOND_SLACK_A)
        if len(molecules_of(atoms, UNSTRETCHED_SLACK_A)) != len(molecules):
            return "a bond is stretched; GFN-FF would take it for broken"
        fragments = np.zeros(len(atoms), int)
        for number, members in enumerate(molecules, 1):
            fragments[members] = number
        return by_calculator(atoms, lambda: GFNFF(fragments=fragments), RuntimeError)


class OwnLevelLabeller(Labeller):
    """Labels by the program that a folder declares, each frame in a folder that is gone after."""

    def __init__(self, level: str, folder: Path | str, frame_limit_s: float = 0.0) -> None:
        self.folder, self.own = Path(folder).resolve(), read_own_level(folder)
        if self.own.level != level:
            raise UserError(
                f"{folder} declares the level {self.own.level}, asked for is {level}; give one name to both"
            )
        self.code = self.own.code
        self.version = f"{self.own.version} ({sha256_of(self.folder)[:12]})"
        self.limit_s = frame_limit_s or self.own.limit_s

    def seconds(self, atoms: Atoms) -> float:
        """Return the cost of one frame that the declaration states."""
        return self.own.seconds or math.nan

    def warning(self, frames: Sequence[Atoms]) -> str:
        """Return what happens where the program hangs and nothing ends it."""
        if self.limit_s or not frames:
            return ""
        return (
            f"warning: {self.folder / DECLARATION} has no limit_s and labels.frame_limit_s is 0: a frame on "
            f"which {self.code} hangs holds its task until that is killed; give a limit in seconds"
        )

    def labels(self, frames: Sequence[Atoms]) -> Iterator[Label | str]:
        """Yield labels, or the reason where there is none. Raises UserError without the program."""
        program = self.own.command.split()[0]
        if not (shutil.which(program) or (self.folder / program).is_file()):
            raise UserError(
                f"{program}, which {self.folder / DECLARATION} runs, is not on PATH; load its module, or "
                "give the whole path"
            )
        return map(self._label, frames)

    def _label(self, atoms: Atoms) -> Label | str:
        if "ghost" in atoms.arrays:
            return "ghost atoms; a level of one's own labels real ones only"
        if problem := problem_of_cell(atoms):
            return problem
        with tempfile.TemporaryDirectory(prefix="frazil-level-") as scratch:
            try:
                self._write(atoms, Path(scratch))
                problem = self._run(Path(scratch))
                return problem or self._read(atoms, Path(scratch))
            except UserError as error:
                return str(error).replace(f"{scratch}/", "")

    def _write(self, atoms: Atoms, scratch: Path) -> None:
        values = {
            "atoms": "\n".join(
                f"{symbol} {x:.10f} {y:.10f} {z:.10f}"
                for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
            ),
            "n_atoms": str(len(atoms)),
            "cell": "\n".join(f"{x:.10f} {y:.10f} {z:.10f}" for x, y, z in atoms.cell.array)
            if atoms.pbc.any()
            else "",
            "name": atoms.get_chemical_formula(),
        }
        for file in sorted(self.folder.iterdir()):
            if file.name == DECLARATION or not file.is_file():
                continue
            if file.name.endswith(TEMPLATE):
                text = string.Template(file.read_text(encoding="utf-8")).safe_substitute(values)
                (scratch / file.name[: -len(TEMPLATE)]).write_text(text, encoding="utf-8")
            else:
                shutil.copy(file, scratch)
        if self.own.structure:
            frame = type(atoms)(atoms.numbers, atoms.positions)
            if atoms.pbc.any():
                frame.set_cell(atoms.cell)
                frame.pbc = True
            elif self.own.vacuum_A:
                frame.center(vacuum=self.own.vacuum_A)
                frame.pbc = True
            try:
                ase.io.write(scratch / self.own.structure["file"], frame, format=self.own.structure["format"])
            except Exception as error:
                raise UserError(
                    f"the frame cannot be written as {self.own.structure['format']} ({error})"
                ) from error

    def _run(self, scratch: Path) -> str:
        """Run the command; return why it gave nothing. All processes that it started end with it."""
        started = subprocess.Popen(
            ["bash", "-c", self.own.command],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, complaint = started.communicate(timeout=self.limit_s or None)
        except subprocess.TimeoutExpired:
            return f"no answer within {self.limit_s:g} s"
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.communicate()
        if started.returncode:
            said = "; ".join(complaint.decode(errors="replace").split("\n")[-KEPT_LINES - 1 :]).strip("; ")
            return f"{self.own.code} ended with exit status {started.returncode}" + (
                f" ({said})" if said else ""
            )
        return ""

    def _read(self, atoms: Atoms, scratch: Path) -> Label | str:
        """Return the last frame of the output as the label of these atoms, or why it is none."""
        from frazil.labels.imports.readers import read_entry

        file = scratch / self.own.output
        if not file.exists():
            return f"{self.own.code} wrote no {self.own.output}"
        periodic = "yes" if atoms.pbc.any() else "no"
        entry = Entry(file, name=self.own.output, format=self.own.format, periodic=periodic)
        frame = read_entry(entry).frames[-1]
        if frame.get_chemical_symbols() != atoms.get_chemical_symbols():
            found_atoms = frame.get_chemical_formula("reduce")
            return f"{self.own.output} holds {found_atoms}, not the frame's atoms in order"
        if not np.allclose(frame.cell.array, atoms.cell.array, atol=MOVED_A) and atoms.pbc.any():
            return f"{self.own.output} holds another cell: turned, or relaxed"
        moved_A = float(np.abs(moved(atoms, frame)).max())
        if moved_A > MOVED_A:
            return f"{self.own.output} holds other positions (by {moved_A:.3g} Å): turned, moved or relaxed"
        if not frame.info.get("converged", True):
            return f"{self.own.code} did not converge"
        results: dict[str, Any] = frame.calc.results if frame.calc else {}
        if "energy" not in results or "forces" not in results:
            return f"{self.own.output} holds no energy with forces"
        return Label(float(results["energy"]), np.array(results["forces"]), results.get("dipole"))


def by_calculator(
    atoms: Atoms, calculator: Callable[[], Any], failure: type[Exception], in_cells: bool = False
) -> Label | str:
    """Return the label of an ASE calculator, or why the frame is refused or failed.

    ``in_cells``: it takes periodic frames, too, whose dipole is left out: it has many values.
    """
    copy = Atoms(atoms.numbers, atoms.positions)
    if atoms.pbc.any():
        copy.set_cell(atoms.cell)
        copy.pbc = atoms.pbc
    try:
        electronic_structure.check(atoms, in_cells)
        copy.calc = calculator()
        energy, forces = float(copy.get_potential_energy()), np.array(copy.get_forces())
    except (UserError, failure) as error:
        return str(error)
    dipole = None if copy.pbc.any() else copy.calc.results.get("dipole")
    return Label(energy, forces, None if dipole is None else np.array(dipole))


def installed(package: str) -> str:
    """Return a package's version. Raises UserError where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise UserError(
            f"this level needs {package}, which is not installed; install the extra 'labels' of frazil"
        ) from None


def with_carbon_monoxide(atoms: Atoms) -> bool:
    """Return whether a frame holds a CO molecule beside another one."""
    molecules = molecules_of(atoms)
    return len(molecules) > 1 and any(sorted(atoms.numbers[members]) == [6, 8] for members in molecules)


def estimate(frames: Sequence[Atoms], source: Labeller) -> str:
    """Return, for people, what labelling these frames will cost on one core."""
    counts = Counter(atoms.get_chemical_formula() for atoms in frames if len(atoms))
    if not counts:
        return "nothing left to label"
    costs = {formula: source.seconds(Atoms(formula)) for formula in counts}
    if any(math.isnan(cost) for cost in costs.values()):
        return f"{len(frames)} frames; no cost is known for this level"
    lines = [f"{counts[formula]} {formula} of {costs[formula]:.2g} s" for formula in sorted(counts, key=len)]
    total_s = sum(counts[formula] * costs[formula] for formula in counts)
    return f"{', '.join(lines)}; in all about {total_s / 3600:.2f} h on one core"


LEVELS: dict[str, Callable[[Mapping[str, Any]], Labeller]] = {
    "van-hemert": VanHemertLabeller,
    "h2-co-analytic": H2OnCOLabeller,
    "co-crystal": COCrystalLabeller,
    **{name: partial(FormulaLabeller, name) for name in KNOWN_TRUTHS},
    "gfn1-xtb": partial(SemiempiricalLabeller, "GFN1-xTB"),
    "gfn2-xtb": partial(SemiempiricalLabeller, "GFN2-xTB"),
    "gfn-ff": ForceFieldLabeller,
    **{name: partial(PySCFLabeller, name) for name in electronic_structure.LEVELS},
}
"""Levels of theory by name; each makes its labeller from settings (``coupling_eV``, …)."""

CO_ONLY = frozenset({"van-hemert"})
"""Levels that label CO only; all others take any molecules."""


def labeller(level: str, **settings: Any) -> Labeller:
    """Return the labeller of a level, or of that which the folder ``own_level`` declares.

    Raises UserError for an unknown one.
    """
    own_level = settings.pop("own_level", None)
    if level not in LEVELS and own_level is not None:
        return OwnLevelLabeller(level, own_level, settings.get("frame_limit_s", 0))
    if level not in LEVELS:
        raise UserError(f"unknown label level {level!r}; allowed are {', '.join(LEVELS)}")
    if not 0 <= (limit_s := settings.get("frame_limit_s", 0)) < math.inf:
        raise UserError(f"a frame is allowed {limit_s:g} s; give a time of 0 s (any) or more")
    asked = [name for name in FACTORS if settings.get(name, False)]
    theory = electronic_structure.LEVELS.get(level)
    if asked and (theory is None or not theory.has_forces):
        raise UserError(
            f"level {level!r} gives no {' and no '.join(asked)}; a functional of PySCF does (pbe0/def2-svp)"
        )
    return LEVELS[level](settings)
