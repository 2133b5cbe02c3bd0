"""What benchmarks of several stages share: running those that are named, an experiment, labels of a truth."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from frazil.experiments.campaign import analyse, run
from frazil.experiments.settings import Parameters


def run_stages(stages: Mapping[str, Callable[[], Any]], names: Sequence[str]) -> None:
    """Run the stages that are named, and say the processor time of each."""
    for name in names:
        begun = time.process_time()
        print(f"== {name}", flush=True)
        stages[name]()
        print(f"== {name}: {time.process_time() - begun:.0f} s of processor time", flush=True)


def experiment(folder: Path, name: str, values: dict[str, Any], seed: int) -> Path:
    """Run an experiment into a folder, print its gates, and return the folder of its results."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(values))
    given = Parameters(experiment=name, parameters=folder / "settings.json", campaign_seed=seed)
    run(given, 0, values["n_trajectories"], folder / "kept", folder / "shards/shard_0")
    analyse(given, folder / "shards", folder / "results")
    for gate in json.loads((folder / "results/section.json").read_text())["gates"]:
        print("gate:", {key: gate[key] for key in ("name", "value", "passed") if key in gate})
    return folder / "results"


def labelled(atoms: Atoms, calculator: Any, **known: Any) -> Atoms:
    """Return atoms with a calculator's energy and forces, and what else is known, as labels."""
    atoms.calc = calculator
    known |= {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    atoms.calc = SinglePointCalculator(atoms, **known)
    return atoms
