"""Settings of what runs a potential in another program's dynamics."""

from __future__ import annotations

from pathlib import Path

from frazil.settings import given, step


@step("frazil.md.driven_lammps:write_input")
class LammpsInput:
    """Write a LAMMPS input and its data file for a structure, to be driven by any potential of frazil."""

    structure: Path = given("Atoms, a file that ASE reads (its last frame)", path="file")
    out: Path = given("Folder of in.lammps and structure.data", path="new folder")


@step("frazil.md.driven_lammps:run")
class RunLammps:
    """Run a LAMMPS input under any potential of frazil: it gives energy and forces of each step."""

    model: str = given("Folder or file of a model, or the name of a potential: what frazil.load takes")
    input: Path = given(
        "LAMMPS input with the line 'fix NAME all external pf/callback 1 1' (lammps-input writes one)",
        path="file",
    )
    elements: tuple[str, ...] = given(
        "Elements of the types 1, 2, …; not given: told by their masses", default=(), repeated=True
    )
    member: int | None = given("One member of a committee; not given: its mean", default=None, minimum=0)
