#!/usr/bin/env python3
"""Tables, figures, gates and report section of CO photodesorption, from shards of trajectories."""

from frazil.cli import numbers, parser, run


def main() -> None:
    """Parse the command line and analyse."""
    command = parser(str(__doc__))
    add = command.add_argument
    add("--model-shards", required=True, help="directory of shards run under the model")
    add("--teacher-shards", default=None, help="directory of shards of the same starts under the teacher")
    add(
        "--teacher-control-shards",
        default=None,
        help="directory of shards under the teacher without coupling",
    )
    add("--model-control-shards", default=None, help="directory of shards under the model without excitation")
    add("--criteria-A", type=numbers, default=[2.0, 3.0, 4.0, 5.0], help="desorption criteria, Å")
    add("--criterion-A", type=float, default=3.0, help="criterion that decided the outcomes, Å")
    add("--duration-fs", type=float, default=5000.0, help="length of a trajectory, fs")
    add("--level", default="van-hemert", help="label level, for the teacher along the model's paths")
    add("--coupling-eV", type=float, default=2.0, help="teacher's excited-bond attraction, eV")
    add("--model", default=None, help="model directory or file, for net forces on molecules")
    add("--reference", required=True, help="the paper's values: assets/reference/photodesorption.csv")
    add("--campaign-seed", type=int, default=1, help="seed of the bootstrap intervals")
    add("--out", required=True, help="directory of results")
    given = command.parse_args()

    from frazil.experiments.photodesorption.analysis import analyse

    kinds = ("model", "teacher", "teacher_control", "model_control")
    options = vars(given)
    options["shards"] = {kind: options.pop(f"{kind}_shards") for kind in kinds}
    analyse(**options)


if __name__ == "__main__":
    run(main)
