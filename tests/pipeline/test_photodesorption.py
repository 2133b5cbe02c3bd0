"""The photodesorption graph through real Nextflow: as stubs, then really, small: names, counts, bytes."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from snapshots import Run, check, files_of

SNAPSHOT = Path(__file__).with_name("main.nf.test.snap")
SMALL = ("-params-file", Path(__file__).with_name("small.json"))


def tasks(folder: Path) -> pd.DataFrame:
    """The trace of the last run: a row per task, its process's name without the workflows around it."""
    trace = pd.read_csv(folder / "results/pipeline_info/trace.tsv", sep="\t")
    trace["process"] = trace["name"].str.replace(r" \(.*", "", regex=True).str.split(":").str[-1]
    return trace


def test_stubs_of_the_whole_graph(run_pipeline: Run, nextflow: Path, root: Path, tmp_path: Path) -> None:
    experiments = "photodesorption,level_of_theory,sticking,infrared,dynamic_training,vibrations"
    experiments += ",hydrogen_bond,raman,density,reaction,field"
    run_pipeline(tmp_path, *SMALL, "-stub-run", "--experiments", experiments)
    counts = tasks(tmp_path)["process"].value_counts()
    assert counts["RUN_TRAJECTORIES"] == 5, "two shards of the model, the teacher, two controls"
    assert counts["TRAIN_DEEPMD"] == 4, "two members in one round and at the end"
    assert counts["KEEP_POTENTIAL"] == 1, "a reaction without a potential learns one"
    assert counts["RENDER_REPORT"] == 1
    check(SNAPSHOT, "pipeline, stub", files_of(nextflow, root, tmp_path / "results", tmp_path / "files"))

    (tmp_path / "own").mkdir()
    (tmp_path / "own/frames.extxyz").touch()
    own = ("--labels.dataset", "--sticking.dataset", "--infrared.dataset", "--infrared.isomers")
    given = [word for option in own for word in (option, "own/frames.extxyz")]
    others = ("--sticking.interaction_only", "true", "--infrared.dipole_model", "schnet")
    others += ("--sticking.target_halfwidth", "0.3", "--photodesorption.target_halfwidth", "0.3")
    ready = str(root / "assets/potentials/h2-co-known-truth")
    others += ("--sticking.cutout_rounds", "3", "--sticking.cutout_epochs", "8", "--sticking.model", ready)
    others += ("--photodesorption.aimd", "own/frames.extxyz")
    others += ("--infrared.level", "gfn2-xtb", "--infrared.n_label_replicas", "2")
    run_pipeline(tmp_path, *SMALL, "-stub-run", "--experiments", experiments, *given, *others)
    defined = {
        name
        for file in root.glob("modules/*.nf")
        for name in re.findall(r"^process (\w+)", file.read_text(), re.M)
    }
    rounds = tasks(tmp_path)
    assert (rounds["process"] == "ENOUGH").sum() == 4, "the stubs have enough after two rounds"
    nitrogen = ("--photodesorption.molecule", "N2", "--photodesorption.potential", "n2-trappe")
    nitrogen += ("--photodesorption.n_truth", "0", "--keep_trajectories", "2")
    run_pipeline(tmp_path, *SMALL, "-stub-run", *nitrogen)
    given = tasks(tmp_path)["process"].value_counts()
    assert given["PREPARE_AGGREGATES"] == given["RENDER_REPORT"] == 1
    assert "TRAIN_DEEPMD" not in given, "nothing is trained"
    assert given["RUN_TRAJECTORIES"] == 3, "two shards and the control without excitation"
    ran = {*counts.index, *rounds["process"], *given.index}
    aliases = {
        "FINAL_DATASET": "PREPARE_DATASET", "EXCITE_COMPARED": "EXCITE", "RUN_COMPARED": "RUN_TRAJECTORIES",
    }  # fmt: skip
    assert {aliases.get(name, name) for name in ran} == defined


@pytest.mark.parametrize(
    ("experiment", "option"), [("photodesorption", "--labels.dataset"), ("infrared", "--infrared.structures")]
)
def test_shell_characters_in_paths_are_only_characters(
    run_pipeline: Run, tmp_path: Path, experiment: str, option: str
) -> None:
    folder = tmp_path / "it's $(touch bad); `touch bad` & more"
    folder.mkdir()
    name = "one's $(touch bad); `touch bad` & more.extxyz"
    (folder / name).write_text("")
    run_pipeline(folder, *SMALL, "--experiments", experiment, option, name, "--yes", status=1)
    told = "".join(file.read_text() for file in folder.glob("work/*/*/.command.err"))
    assert name in told, told
    assert (folder / "results/run.json").exists()
    assert not list(tmp_path.rglob("bad"))


@pytest.mark.parametrize("profile", ["apptainer", "hpc"])
def test_a_folder_that_job_arrays_or_containers_cannot_have_is_refused(
    run_pipeline: Run, tmp_path: Path, profile: str
) -> None:
    folder = tmp_path / "a, b"
    folder.mkdir()
    done = run_pipeline(folder, *SMALL, "-profile", profile, status=2)
    assert "need a path of letters, digits" in done.stderr


@pytest.fixture(scope="module")
def campaign(run_pipeline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign with a space")
    run_pipeline(folder, *SMALL)
    return folder


def test_files_and_columns_are_those_of_the_snapshot(
    campaign: Path, nextflow: Path, root: Path, tmp_path: Path
) -> None:
    check(SNAPSHOT, "pipeline", files_of(nextflow, root, campaign / "results", tmp_path / "files"))


def test_tables_are_whole(campaign: Path) -> None:
    results = campaign / "results"
    trajectories = pd.read_csv(results / "photodesorption/trajectories.csv")
    assert list(trajectories["trajectory_id"]) == list(range(6))
    assert trajectories["outcome"].isin(["desorbed", "retained"]).all(), (
        "with the label's own bonds none fails"
    )
    assert trajectories["snapshot_id"].is_unique
    probability = pd.read_csv(results / "photodesorption/probability.csv")
    assert list(probability["criterion_A"]) == [2, 3, 4, 5]
    assert (probability["n"] == 6).all()
    assert probability["model_std"].notna().all()  # two members took turns
    assert (probability["total_low_95"] <= probability["low_95"]).all()
    models = pd.read_csv(results / "potential/models.csv")
    assert list(models["model_id"]) == [0, 1]
    assert models["selected"].sum() == 1
    html = (results / "report.html").read_text()
    assert "<script src" not in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_run_json_tells_the_whole_run(campaign: Path) -> None:
    run_json = json.loads((campaign / "results/run.json").read_text())
    assert run_json["campaign_seed"] == 3
    assert run_json["experiments"] == ["photodesorption"]
    assert run_json["parameters"]["photodesorption"]["criterion_A"] == 3, "defaults are written too"
    counts = run_json["trajectories"]["photodesorption"]
    assert counts["model"]["total"] == counts["teacher"]["total"] == 6
    assert run_json["versions"]["deepmd-kit"]
    assert run_json["end"] > run_json["start"]


def test_resume_recomputes_nothing_and_the_shard_size_changes_no_byte(
    campaign: Path, run_pipeline: Run
) -> None:
    run_pipeline(campaign, *SMALL, "-resume")
    assert set(tasks(campaign)["status"]) == {"CACHED"}

    before = {file: (campaign / "results/photodesorption" / file).read_bytes() for file in TABLES}
    run_pipeline(campaign, *SMALL, "-resume", "--photodesorption.shard_size", "4")
    rerun = tasks(campaign).query("status != 'CACHED'")["process"]
    after = {"ANALYSE_PHOTODESORPTION", "SHOW_TRAJECTORIES", "RENDER_REPORT"}
    assert set(rerun) == {"EXCITE", "RUN_TRAJECTORIES", *after}
    assert {file: (campaign / "results/photodesorption" / file).read_bytes() for file in TABLES} == before


TABLES = ("trajectories.csv", "desorbed.csv", "probability.csv", "rotational_windows.csv")
