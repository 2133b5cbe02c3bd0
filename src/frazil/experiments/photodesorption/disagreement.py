"""Which frames to label when the members of a committee, not the number of trajectories, limit a probability.

The same starts are run under every member. Where their outcomes differ, something along the way decides it
that the labels have not settled: the frames there on which the members' forces are furthest apart are written
for the label step (query by committee; the measure is that of exploration).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from frazil.data.frames import read_extxyz, write_frames
from frazil.errors import UserError
from frazil.experiments.photodesorption.exploration import force_deviation
from frazil.experiments.photodesorption.tables import MEMBERS_APART, TRAJECTORIES
from frazil.potentials.deepmd.model import evaluate, model_file_of
from frazil.systems.co import closest_contact

SOURCE = "members-apart"


def choose_frames(
    shards: Sequence[Path], models: Sequence[Path], n_frames: int, shortest_contact_A: float, out: Path
) -> str:
    """Write ``worth_labelling.extxyz`` and ``members_apart.csv`` into ``out``; return a line about them.

    Trajectories take turns: each gives its frame of largest spread, then its second, and so on. Where the
    members end every start alike, all trajectories take part.

    Args:
        shards: of each model, the same trajectories, with kept frames.
        models: the members, in the order of the shards.
        n_frames: most frames to write.
        shortest_contact_A: frames in which molecules are nearer are left out; no label says much there.

    Raises:
        UserError: fewer than two members, shards of other trajectories, or no kept frame.
    """
    if len(models) < 2 or len(shards) != len(models):
        raise UserError(
            f"{len(shards)} shards of {len(models)} members; give at least two members and a shard of each"
        )
    tables = [TRAJECTORIES.read(shard).assign(member=number) for number, shard in enumerate(shards)]
    ids = [table["trajectory_id"].tolist() for table in tables]
    if any(own != ids[0] for own in ids):
        raise UserError("the members' shards hold other trajectories; run the same starts under each")
    table = pandas.concat(tables, ignore_index=True)
    apart = table.groupby("trajectory_id")["outcome"].transform("nunique") > 1
    read = [read_extxyz(shard / "frames.extxyz") for shard in shards]
    frames = [(member, atoms) for member, some in enumerate(read) for atoms in some]
    if not frames:
        raise UserError("the members' trajectories kept no frames; run them with keep_frames_trajectories")
    wanted = set(table["trajectory_id"][apart] if apart.any() else table["trajectory_id"])
    frames = [
        (member, atoms) for member, atoms in frames
        if atoms.info["trajectory_id"] in wanted and closest_contact(atoms.positions) >= shortest_contact_A
    ]  # fmt: skip
    forces = [evaluate(model_file_of(model), [atoms for _, atoms in frames])[1] for model in models]
    rows = pandas.DataFrame(
        {
            "trajectory_id": [atoms.info["trajectory_id"] for _, atoms in frames],
            "member": [member for member, _ in frames],
            "deviation": force_deviation(np.array(forces)) if frames else np.empty(0),
        }
    )
    of_path = rows.groupby(["trajectory_id", "member"])["deviation"]
    rows["turn"] = of_path.rank(ascending=False, method="first")
    chosen = rows.sort_values(["turn", "deviation"], ascending=[True, False]).head(n_frames).sort_index()
    kept = []
    for place, row in chosen.iterrows():
        atoms = frames[int(str(place))][1].copy()
        atoms.info = {
            "trajectory_id": f"{SOURCE}-{row['trajectory_id']:.0f}-member-{row['member']:.0f}",
            "time_fs": atoms.info["time_fs"], "source": SOURCE,
            "force_deviation_eV_per_A": float(row["deviation"]),
        }  # fmt: skip
        kept.append(atoms)
    out.mkdir(parents=True, exist_ok=True)
    write_frames(out / "worth_labelling.extxyz", kept)
    number = chosen.groupby(["trajectory_id", "member"]).size()
    largest = of_path.max()
    paths = list(zip(table["trajectory_id"], table["member"], strict=True))
    table["n_chosen"] = [int(number.get(path, 0)) for path in paths]
    table["max_deviation_eV_per_A"] = [largest.get(path, np.nan) for path in paths]
    MEMBERS_APART.write(table[MEMBERS_APART.names], out)
    n_apart = int(table["trajectory_id"][apart].nunique())
    return (
        f"{n_apart} of {len(ids[0])} starts end differently under {len(models)} members; "
        f"{len(kept)} frames to label"
    )
