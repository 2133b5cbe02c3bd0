"""Settings of molecular dynamics in electric fields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from frazil.experiments.settings import a_potential, a_structure, beads, problems_of_samples
from frazil.settings import is_multiple, setting, settings

CAMPAIGN = "frazil.experiments.field.physics"
KEEPS_FRAMES = True
DRIVES = ("pulse", "wave", "constant")
WIDTHS_BEFORE = 3
"""Standard deviations of a pulse that pass before its centre: at the start it has a hundredth of its height."""


@settings
class Field:
    """Polarization and structure in constant fields, and the work of one that changes with time."""

    structure: Path | None = a_structure(
        "A molecule, a cluster, or a cell (pbc) of a crystal or liquid", "two water molecules",
        ", but a cell's is the start as it is",
    )  # fmt: skip
    model: Path | None = a_potential("q-TIP4P/F water", "a potential with a dipole")
    polarizability: Path | None = setting(
        "Folder of a polarizability, for the dipole that the field induces; without one this is neglected",
        default=None, path="any",
    )  # fmt: skip
    oxidation_numbers: tuple[str, ...] = setting(
        "Of a cell of ions: the oxidation number of each element (Na:1,Cl:-1), by which one that is carried through the cell "
        "must change the dipole; when not set, any whole number",
        default=(),
    )  # fmt: skip
    temperature_K: float = setting("Temperature", default=150.0, above=0, maximum=5000)
    fields_V_per_A: tuple[float, ...] = setting(
        "Constant fields, along z: 0 first, then rising; the smallest tells the linear response",
        default=(0.0, 0.03, 0.1, 0.2), minimum=0, maximum=5,
    )  # fmt: skip
    n_beads: tuple[int, ...] = beads(80)
    n_trajectories: int = setting(
        "Starts; each runs in every field, with every number of beads", default=16, minimum=4, maximum=10_000
    )
    shard_size: int = setting("Starts in one task; changes no result", default=4, minimum=1)
    equilibration_fs: float = setting("Dynamics in each field before what counts", default=5000.0, above=0)
    duration_fs: float = setting("Dynamics in each field that counts", default=100000.0, above=0)
    timestep_fs: float = setting(
        "Time step; the fastest mode's period is at least 14", default=0.5, above=0, maximum=5
    )
    observe_every_fs: float = setting(
        "Time between samples; a whole number of time steps", default=20.0, above=0
    )
    drive: str = setting(
        "How the field changes with time that acts on classical nuclei at constant energy: a Gaussian pulse, "
        "a continuous wave, or constant from the start on",
        default="pulse", choices=DRIVES,
    )  # fmt: skip
    drive_V_per_A: float = setting("Amplitude of this field", default=0.1, above=0, maximum=5)
    drive_THz: float = setting("Frequency of a wave or pulse", default=15.0, minimum=0, maximum=1000)
    drive_centre_fs: float = setting("Time at which a wave or pulse has its crest", default=400.0, minimum=0)
    drive_width_fs: float = setting("Standard deviation of a pulse's envelope", default=100.0, above=0)
    drive_duration_fs: float = setting("Dynamics under this field", default=1000.0, above=0)
    drive_timestep_fs: float = setting(
        "Time step under this field; the fastest mode's period is at least 28",
        default=0.25,
        above=0,
        maximum=5,
    )
    drive_every_fs: float = setting(
        "Time between what is kept under this field; a whole number of its time steps", default=2.0, above=0
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what does not go together."""
        fields = self.fields_V_per_A
        if self.model is not None and self.structure is None:
            yield "structure", "needed with [model]: one of its own"
        if len(fields) < 2 or fields[0] != 0 or any(b <= a for a, b in zip(fields, fields[1:], strict=False)):
            yield (
                "fields_V_per_A",
                "allowed: 0, whose fluctuations tell the response, then one or more, rising",
            )
        if 1 not in self.n_beads or len(set(self.n_beads)) < len(self.n_beads):
            yield "n_beads", "allowed: 1, whose frames the field of [drive] acts on, and others, none twice"
        yield from problems_of_samples(self)
        if not is_multiple(self.equilibration_fs, self.observe_every_fs):
            yield "equilibration_fs", "allowed: a whole number of [observe_every_fs]"
        if not is_multiple(self.drive_every_fs, self.drive_timestep_fs):
            yield "drive_every_fs", "allowed: a whole number of [drive_timestep_fs]"
        if not is_multiple(self.drive_duration_fs, self.drive_every_fs):
            yield "drive_duration_fs", "allowed: a whole number of [drive_every_fs]"
        if self.drive_duration_fs < 20 * self.drive_every_fs:
            yield "drive_duration_fs", "allowed: at least 20 times [drive_every_fs]"
        if self.drive == "pulse" and self.drive_centre_fs < WIDTHS_BEFORE * self.drive_width_fs:
            yield "drive_centre_fs", f"allowed: at least {WIDTHS_BEFORE} times [drive_width_fs], of a pulse"
        if self.drive == "pulse" and self.drive_centre_fs >= self.drive_duration_fs:
            yield "drive_centre_fs", "allowed: below [drive_duration_fs], of a pulse"


GROUPS = {"field": Field}


def shipped(own: Field) -> dict[str, str]:
    """Return the files of ``assets`` that stand for those that are not set."""
    found = {}
    if own.structure is None:
        found["structure"] = "structures/water_dimer.extxyz"
    if own.model is None:
        found["model"] = "potentials/q-tip4p-f"
    return found
