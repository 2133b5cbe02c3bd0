#!/usr/bin/env python3
"""The apax side of parity tests and of gmnn_speed.py: run by an interpreter that has apax 0.14 (and frazil's
sources).

init      writes an apax model with random parameters (published layers, gentle energies)
convert   writes an apax model as a model file of frazil
evaluate  energies and forces of frames by apax's ASE calculator, to .npz
verlet    runs ASE VelocityVerlet with apax's calculator once for each line on stdin, answers with µs per atom
          and step, and at the end writes the last positions to .npz
"""

import argparse
import time
from pathlib import Path

EXPERIMENT = "model"
MODEL = {
    "name": "gmnn",
    "basis": {"name": "gaussian", "n_basis": 7, "r_min": 0.5, "r_max": 6.0},
    "n_radial": 5,
    "nn": [256, 128],
    "w_init": "normal",
    "b_init": "normal",
    "use_ntk": True,
    "activation_fn": "variance_preserving_swish",
}


def init(out: Path, hidden: list[int], seed: int, scale_eV: float, precision: str) -> None:
    """Write an apax model directory with random parameters."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp
    import yaml
    from apax.config import Config
    from apax.train.checkpoints import create_params

    jax.config.update("jax_enable_x64", True)
    settings = {
        "n_epochs": 1,
        "data": {"directory": str(out.resolve().parent), "experiment": out.name, "data_path": "none.extxyz"},
        "model": {**MODEL, "nn": hidden, "descriptor_dtype": precision, "readout_dtype": precision},
        "metrics": [{"name": "energy", "reductions": ["mae"]}],
        "loss": [{"name": "energy"}, {"name": "forces"}],
    }
    settings["data"] |= {"n_train": 1, "n_valid": 1, "batch_size": 1, "valid_batch_size": 1}
    config = Config.model_validate(settings)
    rng = np.random.default_rng(seed)
    numbers = np.arange(119)
    builder = config.model.get_builder()(config.model.model_dump(), n_species=119)
    model = builder.build_energy_derivative_model(
        scale=scale_eV * (1 + 0.1 * np.cos(numbers)), shift=-0.1 * numbers, init_box=np.zeros(3)
    )
    positions = jax.numpy.asarray(rng.normal(size=(4, 3)))
    index = jax.numpy.asarray([[0, 1, 2, 3], [1, 0, 3, 2]])
    sample = (
        positions,
        jax.numpy.asarray([1, 1, 6, 8]),
        index,
        jax.numpy.zeros((3, 3)),
        jax.numpy.zeros((4, 3)),
    )
    parameters, _ = create_params(model, jax.random.PRNGKey(seed), sample, 1)
    out.mkdir(parents=True)
    (out / "config.yaml").write_text(yaml.safe_dump(settings))
    with ocp.CheckpointManager((out / "best").resolve()) as manager:
        manager.save(0, args=ocp.args.StandardSave({"model": {"params": dict(parameters)}, "epoch": 0}))


def convert(model: Path, elements: list[str], out: Path) -> None:
    """Write an apax model as a model file of frazil."""
    import jax
    import numpy as np
    from apax.train.checkpoints import restore_parameters

    from frazil.potentials.gmnn.apax import from_apax
    from frazil.potentials.gmnn.architecture import stack_members
    from frazil.potentials.gmnn.files import write_model

    config, parameters = restore_parameters(model)
    tree = jax.tree.map(np.asarray, dict(parameters))["params"]
    architecture, ours = from_apax(config.model.model_dump(), tree, elements)
    write_model(out, architecture, stack_members([ours]), {"label_level": "apax", "training_data_sha256": ""})


def evaluate(model: Path, frames: Path, out: Path) -> None:
    """Write energies and forces of frames by apax's calculator."""
    import ase.io
    import numpy as np
    from apax.md import ASECalculator

    energies, forces = [], []
    for atoms in ase.io.read(frames, ":"):
        atoms.calc = ASECalculator(model)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    np.savez(out, energies_eV=np.array(energies), forces_eV_per_A=np.concatenate(forces))


def verlet(model: Path, frames: Path, timestep_fs: float, steps: int, skin_A: float, out: Path) -> None:
    """Run and time NVE as ASE does it with apax's calculator, once for each line of stdin."""
    import sys

    import ase.io
    import numpy as np
    from apax.md import ASECalculator
    from ase import units
    from ase.md.verlet import VelocityVerlet

    atoms = ase.io.read(frames, 0)
    start, momenta = atoms.positions.copy(), atoms.get_momenta()
    atoms.calc = ASECalculator(model, dr_threshold=skin_A)
    VelocityVerlet(atoms, timestep_fs * units.fs).run(2)
    print("ready", flush=True)
    for _ in sys.stdin:
        atoms.positions, atoms.info = start, {}
        atoms.set_momenta(momenta)
        dynamics = VelocityVerlet(atoms, timestep_fs * units.fs)
        begin = time.process_time()
        dynamics.run(steps)
        print((time.process_time() - begin) / steps / len(atoms) * 1e6, flush=True)
    np.savez(out, positions_A=atoms.positions, energy_eV=atoms.get_potential_energy())


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, dest="verb")
    a = verbs.add_parser("init")
    a.add_argument("--hidden", type=lambda text: [int(n) for n in text.split(",")], default=[256, 128])
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--scale-eV", type=float, default=0.05)
    a.add_argument("--precision", choices=["fp32", "fp64"], default="fp32")
    b = verbs.add_parser("convert")
    b.add_argument("--model", type=Path, required=True)
    b.add_argument("--elements", nargs="+", required=True)
    c = verbs.add_parser("evaluate")
    d = verbs.add_parser("verlet")
    for sub in (c, d):
        sub.add_argument("--model", type=Path, required=True)
        sub.add_argument("--frames", type=Path, required=True)
    d.add_argument("--timestep-fs", type=float, default=0.5)
    d.add_argument("--steps", type=int, default=100)
    d.add_argument("--skin-A", type=float, default=0.5)
    for sub in (a, b, c, d):
        sub.add_argument("--out", type=Path, required=True)
    arguments = vars(parser.parse_args())
    {"init": init, "convert": convert, "evaluate": evaluate, "verlet": verlet}[arguments.pop("verb")](
        **arguments
    )


if __name__ == "__main__":
    main()
