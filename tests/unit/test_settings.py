"""A setting has one home: bounds, help, schema, flags of steps, and what must hold between fields."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

from frazil import launcher, parameters
from frazil.cli import run
from frazil.errors import UserError
from frazil.experiments.infrared.settings import Infrared, Learning, Runs
from frazil.experiments.photodesorption.settings import (
    ExplorationLimits,
    Limits,
    Sampling,
    Thermalization,
    Trajectories,
)
from frazil.experiments.sticking.settings import Campaign, Grid, Preparation, RunCollisions
from frazil.labels import electronic_structure
from frazil.labels.levels import LEVELS
from frazil.labels.settings import DFT, OTHER_BASES, REFERENCES, Labels
from frazil.labels.settings import LEVELS as NAMES
from frazil.learning.settings import DeepmdTraining, GmnnTraining
from frazil.settings import REQUIRED, default_text, fields_of, flag_of, given, load, setting, settings, steps

ROOT = Path(__file__).resolve().parents[2]


def refused(given: dict[str, Any]) -> list[str]:
    """The lines by which a launch with these parameters is refused."""
    with pytest.raises(UserError) as caught:
        parameters.resolve(given)
    return str(caught.value).splitlines()


def test_a_data_set_that_nothing_would_be_trained_on_is_refused() -> None:
    lines = refused({"sticking": {"potential": "analytic", "model_error": False, "dataset": __file__}})
    assert any("with gmnn, which is trained or ready, as --sticking.potential" in line for line in lines), (
        lines
    )


def test_results_of_other_experiments_are_not_replaced_without_a_word(tmp_path: Path) -> None:
    assert launcher.others_results(tmp_path, ["raman"]) == ""
    (tmp_path / "run.json").write_text(json.dumps({"experiments": ["sticking"]}))
    assert launcher.others_results(tmp_path, ["sticking", "raman"]) == ""
    told = launcher.others_results(tmp_path, ["raman"])
    assert told.startswith(
        f"warning: {tmp_path} holds a run of sticking; its report.html and run.json will be"
    )
    (tmp_path / "run.json").write_text("cut")
    assert launcher.others_results(tmp_path, ["raman"]) == ""


def test_frames_are_kept_of_experiments_that_have_them() -> None:
    given = {"keep_trajectories": 3, "sticking": {"potential": "analytic", "model_error": False}}
    assert parameters.resolve({**given, "experiments": "sticking,raman"}).keep_trajectories == 3
    (line,) = refused({**given, "experiments": "sticking,density"})
    assert line.startswith("--keep_trajectories: given 3; allowed: 0 with density, which has no frames")


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_launch_takes_an_object_only(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(UserError, match="standard input is "):
        launcher.launch()


@pytest.mark.parametrize(
    ("group", "name", "value", "told"),
    [
        ("sticking", "n_polar", "1.5", "given 1.5; allowed: an integer from 1 to 1000"),
        ("sticking", "energies_K", "nan", "given nan (not a finite number)"),
        ("sticking", "energies_K", "12,12", "given 12,12 (12 twice)"),
        ("sticking", "energies_K", "", "given nothing (nothing)"),
        ("sticking", "face", "0,0,0", "given 0,0,0; allowed: three numbers that are not all 0"),
        ("sticking", "face", "1,1", "given 1,1 (2 items)"),
        ("sticking", "timestep_fs", "1e-300", "allowed sizes are 1e-09 to 1e+09"),
        ("sticking", "duration_fs", "1e300", "allowed sizes are 1e-09 to 1e+09"),
        ("sticking", "gas_temperatures_K", "0", "text like surface or 50 or 12.5"),
        ("sticking", "duration_fs", "30", "allowed: a whole number of 20 fs"),
        ("sticking", "attempts_after_fs", 30000, "below --sticking.attempts_duration_fs, now 25000 fs"),
        ("sticking", "model", "/", "the folder lacks model.h5"),
        ("deepmd", "smooth_A", 7, "given 7 Å; allowed: below --deepmd.cutoff_A, now 6.5 Å"),
        ("deepmd", "axis", 60, "at most the last width of --deepmd.embedding, now 50,50,50"),
        ("deepmd", "embedding", "999999999999", "an integer from 1 to 4096"),
        ("deepmd", "learning_rate_stop", 0.5, "at most --deepmd.learning_rate_start, now 0.01"),
        (
            "exploration",
            "deviation_low_eV_per_A",
            9,
            "below --exploration.deviation_high_eV_per_A, now 5 eV/Å",
        ),
        (
            "exploration",
            "shortest_contact_A",
            1.0,
            "at least --photodesorption.unphysical_contact_A, now 1.2 Å",
        ),
        ("thermalization", "timestep_fs", 0.3, "a whole part of 10 fs"),
        ("thermalization", "duration_fs", 100, "at most one in 10 fs of --thermalization.duration_fs"),
        ("photodesorption", "criteria_A", "3,3", "given 3,3 (3 twice)"),
        ("photodesorption", "criteria_A", "3,nan", "given 3,nan (not a finite number)"),
        ("photodesorption", "criterion_A", 2.5, "one of --photodesorption.criteria_A, now 2,3,4,5 Å"),
        ("photodesorption", "n_trajectories", 12000, "up to --thermalization.n_snapshots, now 11000"),
        ("photodesorption", "n_trajectories", 10**9, "an integer from 1 to 10000000"),
        ("photodesorption", "target_halfwidth", 0.001, "0 (all trajectories), or from 0.005 on"),
        ("labels", "train_fraction", 0.95, "below 1, the rest is the test set"),
        ("labels", "level", "gfn2-xt", "did you mean gfn2-xtb?"),
        ("labels", "dataset", "x" * 260, "too long a name"),
        ("labels", "dataset", "-x", "no name of a file"),
        ("labels", "window_starts_fs", "5,3,1", "rising from 0 or more"),
        ("infrared", "temperatures_K", "300,300", "given 300,300 (300 twice)"),
        ("infrared", "dipole_every_fs", 0.7, "a whole number of --infrared.timestep_fs, now 0.5 fs"),
        ("infrared", "depth_fs", 40000, "at most --infrared.duration_fs, now 35000 fs"),
        ("infrared", "max_force_error_eV_per_A", 0, "a limit above 0"),
        ("infrared", "n_label_replicas", 2, "0 with --infrared.level, now pbe0/def2-svp"),
        ("infrared", "n_members", 1, "at least 2, or 1 with several heads, --infrared.n_heads, now 1"),
        ("gmnn", "n_heads", 0, "an integer from 1 to 64"),
        ("level_of_theory", "levels", "gfn2-xtb,gfn2-xtb", "twice"),
    ],
)
def test_a_launch_refuses_what_no_run_can_use(group: str, name: str, value: Any, told: str) -> None:
    lines = refused({group: {name: value}})
    assert any(told in line for line in lines), lines
    assert all(line.startswith("--") for line in lines)


def test_a_launch_looks_at_the_folders_of_potentials(tmp_path: Path, root: Path) -> None:
    """What is none, and atoms that it does not know, are told before any task."""
    lines = refused({"experiments": "vibrations", "vibrations": {"model": str(tmp_path)}})
    assert any("--vibrations.model" in line and "is no potential's" in line for line in lines), lines
    (tmp_path / "model.json").write_text("{")
    lines = refused({"experiments": "vibrations", "vibrations": {"model": str(tmp_path)}})
    assert any("model.json is damaged" in line for line in lines), lines
    own = tmp_path / "water.xyz"
    Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]).write(own)
    known = root / "assets/potentials/mgsio3-pbe0"
    given = {"structure": str(own), "model": str(known)}
    lines = refused({"experiments": "vibrations", "vibrations": given})
    assert any("with H; allowed: atoms of --vibrations.model" in line for line in lines), lines
    done = subprocess.run(
        [sys.executable, "-S", root / "bin/frazil", "launch"], env={"PATH": "/usr/bin"}, text=True,
        input=json.dumps({"experiments": "vibrations", "vibrations": given}), capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "with H; allowed: atoms of" in done.stderr, "a login node has no other packages"
    given["model"] = str(root / "assets/potentials/q-tip4p-f")
    assert parameters.resolve({"experiments": "vibrations", "vibrations": given})


def test_frames_of_a_semiempirical_level_may_train_for_sticking() -> None:
    """It is frazil's own level, so that no folder can declare it: it has to be one of those allowed."""
    given = {"experiments": "sticking", "sticking": {"label_level": "gfn2-xtb"}}
    assert parameters.resolve(given).sticking.label_level == "gfn2-xtb"
    lines = refused({"experiments": "sticking", "sticking": {"label_level": "pbe0/def2-svp"}})
    assert any("--sticking.label_level: given pbe0/def2-svp" in line for line in lines)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"truth": True, "label_level": "gfn2-xtb"}, "truth: given true; allowed: with h2-co-analytic"),
        ({"potential": "analytic"}, "model_error: given true; allowed: false with --sticking.potential"),
        (
            {"attempts_temperature_K": 7},
            "attempts_temperature_K: given 7 K; allowed: one of --sticking.surface_",
        ),
        (
            {"binding_surfaces": 9999},
            "binding_surfaces: given 9999; allowed: at most all surfaces of a phase",
        ),
        ({"cutout_rounds": 1, "potential": "analytic"}, "cutout_rounds: given 1; allowed: 0 unless"),
        ({"cutout_rounds": 1, "n_members": 1}, "n_members: given 1; allowed: two or more with"),
        ({"cutout_epochs": 1}, "cutout_epochs: given 1; allowed: 0 without --sticking.cutout_rounds"),
        ({"cutout_rounds": 1, "model": "/"}, "cutout_epochs: given 0; allowed: above 0 where"),
        ({"target_halfwidth": 0.001}, "target_halfwidth: given 0.001; allowed: 0 (all collisions), or from"),
        ({"molecules_of": "dataset"}, "molecules_of: given dataset; allowed: level without a"),
        ({"potential": "analytic", "model": "/"}, "model: given /; allowed: with gmnn"),
        ({"dataset": __file__, "model": "/"}, "allowed: without a --sticking.model, now / that is"),
    ],
)
def test_settings_of_sticking_that_do_not_go_together(given: dict[str, Any], told: str) -> None:
    lines = refused({"experiments": "sticking", "sticking": given})
    assert any(told in line for line in lines), lines


def test_frames_that_were_learnt_are_no_tests_later() -> None:
    given = {"cutout_rounds": 1, "cutout_epochs": 8}
    run = {"experiments": "sticking", "sticking": given, "labels": {"split_by": "frame"}}
    (line,) = refused(run)
    assert line.startswith(
        "--labels.split_by: given frame; allowed: trajectory with --sticking.cutout_epochs"
    )
    del given["cutout_epochs"]
    assert parameters.resolve(run).labels.split_by == "frame"


def test_heads_are_members_of_a_committee() -> None:
    """Model errors want two members: networks, or heads of one."""
    one = {"experiments": "sticking", "sticking": {"n_members": 1, "potential": "gmnn"}}
    (told,) = refused(one)
    assert told.startswith("--sticking.model_error: given true; allowed: with at least 2 members, ")
    assert parameters.resolve({**one, "gmnn": {"n_heads": 8}}).gmnn.training.n_heads == 8
    assert parameters.resolve({"infrared": {"n_members": 1, "n_heads": 2}}).infrared.training.n_heads == 2


def test_every_problem_is_told_at_once_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    given = {
        "experiments": "sticking,stickin,sticking", "outdir": str(file / "below"), "campaign_seed": -1,
        "sticking": {"n_polr": 4}, "labels": 3, "out-dir": "x", "outDir": "x",
    }  # fmt: skip
    assert refused(given) == [
        "--labels: given 3; it is a group: set one of its parameters, as --labels.level VALUE",
        "--sticking.n_polr: unknown parameter; did you mean --sticking.n_polar? (--help lists all)",
        "--out-dir: unknown parameter; did you mean --outdir? (--help lists all)",
        "--experiments: given sticking,stickin,sticking (did you mean sticking?); allowed: a comma-separated "
        f"list, each one of {', '.join(parameters.EXPERIMENTS)}, none twice",
        f"--outdir: given {file}/below ({file} is no folder); allowed: a folder that can be written",
        "--campaign_seed: given -1; allowed: an integer from 0 to 2147483647",
    ]


@pytest.mark.parametrize("outdir", ["", "a\nb", "-x", "x" * 260])
def test_a_results_folder_has_a_name(outdir: str) -> None:
    assert refused({"outdir": outdir})[0].startswith("--outdir: given ")


@pytest.mark.parametrize(
    ("cls", "given", "told"),
    [
        (
            Campaign,
            {"energies_K": (0.0,)},
            "energies_K: given 0; allowed: a comma-separated list, each a number above 0",
        ),
        (Campaign, {"polar_max_deg": 90.0}, "at least 0 and below 90, in °"),
        (Campaign, {"timestep_fs": 0.7}, "timestep_fs: given 0.7 fs; allowed: a whole part of 20 fs"),
        (Campaign, {"timestep_fs": float("nan")}, "timestep_fs: given nan (not a finite number)"),
        (Preparation, {}, "phase: not given; needed: one of crystalline, amorphous"),
        (Preparation, {"phase": "liquid"}, "phase: given liquid"),
        (Grid, {"binding_spacing_A": 0.0}, "a number above 0"),
        (Trajectories, {"observe_fs": 0.55}, "a whole number of timestep_fs, now 0.1 fs"),
        (Limits, {"criterion_A": 2.5}, "one of criteria_A, now 2,3,4,5 Å"),
        (ExplorationLimits, {"clean_fraction": 2}, "a number from 0 to 1"),
        (Sampling, {"contact_low_A": 1.5}, "a number from 1.85 to 4, in Å"),
        (Sampling, {"contact_low_A": 3.5}, "below contact_high_A, now 3.4 Å"),
        (Thermalization, {"temperature_low_K": 18.0}, "below temperature_high_K, now 17 K"),
        (DeepmdTraining, {"force_prefactors": (1.0,)}, "(1 items)"),
        (GmnnTraining, {"energy_weight": 0.0, "force_weight": 0.0}, "one weight above 0"),
        (Learning, {"learning_temperatures_K": ()}, "given nothing"),
        (Runs, {"duration_fs": 10.3}, "a whole number of dipole_every_fs, now 1 fs"),
        (Labels, {"hessian": True}, "false with level, now van-hemert"),
        (Infrared, {"label_timestep_fs": 0.3, "n_label_replicas": 1}, "label_timestep_fs"),
    ],
)
def test_settings_made_in_code_are_checked(cls: type, given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        cls(**given)
    assert told in str(caught.value)


def test_values_are_typed_whoever_gives_them() -> None:
    assert load(Campaign, {"energies_K": "12, 1e2", "n_polar": "4", "model_error": "false"}) == Campaign(
        energies_K=[12, 100], n_polar=4.0, model_error=False
    )
    values = parameters.plain(parameters.resolve({"sticking": {"energies_K": [12, 348], "width": 4}}))
    assert values["sticking"]["energies_K"] == [12.0, 348.0]
    taken = parameters.of_steps(values)
    assert taken["run-collisions"]["energies_K"] == [12.0, 348.0]
    assert taken["bind-sites"]["width"] == taken["run-collisions"]["width"] == 4
    assert taken["train-gmnn"]["n_members"] == 3
    assert "surfaces" not in taken["run-collisions"]


def test_parts_that_disagree_about_a_setting_are_a_mistake() -> None:
    @settings
    class One:
        size_A: float = setting("Size", default=1.0)

    @settings
    class Two:
        size_A: float = setting("Size", default=2.0)

    from frazil.settings import part

    @settings
    class Both:
        one: One = part(One)
        two: Two = part(Two)

    with pytest.raises(TypeError, match="two settings size_A"):
        fields_of(Both)


def test_every_setting_of_a_step_has_one_home() -> None:
    known = parameters.all_parameters()
    for name, cls in steps().items():
        for field, spec in fields_of(cls).items():
            home = spec.of if spec.of is not None else f"{cls.group}.{field}"  # type: ignore[attr-defined]
            assert home == "" or home in known, f"{name}: {field}"
            if (
                home
                and spec.default is not REQUIRED
                and spec.default is not None
                and name != "infrared-spectrum"
            ):
                assert spec.default == known[home].default, (
                    f"{name}: {field} has another default than --{home}"
                )


def test_schema_and_table_follow_from_the_settings() -> None:
    hint = "write it anew: bin/frazil {} > {}"
    assert json.loads((ROOT / "nextflow_schema.json").read_text()) == parameters.schema(), hint.format(
        "schema", "nextflow_schema.json"
    )
    assert (ROOT / "docs/parameters.md").read_text() == parameters.table() + "\n", hint.format(
        "docs", "docs/parameters.md"
    )


def test_every_default_of_the_schema_is_what_the_schema_allows() -> None:
    """As programs that fill forms by it ask; a list may be a text with commas."""
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list}
    schema, seen = parameters.schema(), 0
    assert schema["$schema"].endswith("2020-12/schema")
    for name, group in schema["properties"].items():
        for key, entry in (group["properties"] if group["type"] == "object" else {name: group}).items():
            types = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
            if "default" in entry:
                seen += 1
                assert isinstance(entry["default"], tuple(kinds[one] for one in types)), (name, key)  # type: ignore[arg-type]
                assert entry["default"] in entry.get("enum", [entry["default"]])
    assert seen > 200


def test_options_of_steps_are_those_that_are_kept() -> None:
    """What a step accepts and takes where nothing is said; RENEW_KEPT=1 writes them anew."""
    found = {
        name: {
            option: f"{spec.allowed}; {default_text(spec)}{'' if spec.of is None else f'; of {spec.of!r}'}"
            for option, spec in fields_of(cls).items()
            if spec.of is not None  # others are settings of runs
        }
        for name, cls in sorted(steps().items())
    }
    file = ROOT / "tests/kept/step_options.json"
    if os.environ.get("RENEW_KEPT"):
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    kept = json.loads(file.read_text())
    assert list(found) == list(kept)
    for name, options in found.items():
        assert options == kept[name], name


def test_a_committee_that_is_ready_is_taken() -> None:
    run = {
        "experiments": "sticking",
        "sticking": {"model": str(ROOT / "assets/potentials/h2-co-known-truth")},
    }
    assert parameters.resolve(run).sticking.model is not None


def test_each_step_has_its_script_and_the_reverse() -> None:
    scripts = {file.stem.replace("_", "-"): file for file in ROOT.glob("bin/*.py")}
    assert set(scripts) == set(steps())
    for name, file in scripts.items():
        assert f"run({steps()[name].__name__})" in file.read_text()


def test_names_of_levels_are_those_that_there_are() -> None:
    assert set(NAMES) | set(REFERENCES) | set(OTHER_BASES) <= set(LEVELS)
    assert set(DFT) <= {name for name, level in electronic_structure.LEVELS.items() if level.has_forces}


def test_a_login_node_reads_them_with_the_standard_library_of_python_3_9() -> None:
    files = [
        *ROOT.glob("src/frazil/**/settings.py"),
        *(ROOT / f"src/frazil/{n}.py" for n in ("parameters", "launcher", "errors")),
    ]
    for file in files:
        tree = ast.parse(file.read_text(), feature_version=(3, 9))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                top = str(node.module).split(".")[0]
                assert top in (*sys.stdlib_module_names, "frazil", "__future__"), f"{file}: {top}"
            elif isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names), file


def test_help_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert launcher.main(["help", "energies_K"]) == 0
    told = capsys.readouterr().out
    assert "--sticking.energies_K  a comma-separated list, each a number above 0" in told
    assert "Collision energies, all translational" in told
    launcher.main(["help", "run_collisions"])
    assert "--n-polar  an integer from 1 to 1000; default: 16" in capsys.readouterr().out
    assert launcher.main(["help", "colisions"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_negative_numbers_are_no_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = [
        "--binding-energy-K",
        "-3e2",
        "--attempt-frequency-per-ps",
        "3",
        "--out",
        str(tmp_path / "t.csv"),
    ]
    run(steps()["residence-times"], command)
    assert (tmp_path / "t.csv").is_file()
    for bad in ("-inf", "nan"):
        with pytest.raises(SystemExit) as caught:
            run(steps()["residence-times"], [command[0], bad, *command[2:]])
        assert caught.value.code == 2
        assert f"error: --binding-energy-K: given {bad} (not a finite number)" in capsys.readouterr().err


def test_a_step_reads_settings_from_a_file_and_flags_go_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"n_polar": 4, "n_azimut": 3}))
    with pytest.raises(SystemExit):
        run(RunCollisions, ["--settings", str(file), "--phase", "liquid"])
    told = capsys.readouterr().err.splitlines()
    assert "error: --n-azimut: unknown setting; did you mean --n-azimuth?" in told
    assert "error: --phase: given liquid; allowed: one of crystalline, amorphous" in told
    assert "error: --out: not given; needed: a folder that can be written" in told


def test_a_list_of_files_may_be_empty_where_none_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(steps()["select-model"], ["--explorations", "--models"])
    told = capsys.readouterr().err
    assert "--models: expected at least one argument" in told
    with pytest.raises(SystemExit):
        run(steps()["select-model"], ["--explorations"])
    assert "--explorations" not in capsys.readouterr().err


def test_the_launcher_works_in_a_fresh_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "bin/frazil", "sticking-coefficients",
         "--probabilities", ROOT / "assets/reference/sticking_probabilities.csv",
         "--gas-temperatures-K", "10,50", "--out", tmp_path / "s.csv"],
        env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s.csv").is_file()
    unknown = subprocess.run(
        [ROOT / "bin/frazil", "run-colisions"], capture_output=True, text=True, check=False
    )
    assert unknown.returncode == 2
    assert unknown.stderr == "error: no step run-colisions; did you mean run-collisions?\n"


def test_flags_are_the_fields_names() -> None:
    assert flag_of("energies_K") == "--energies-K"


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        (b"fil,level\na.xyz,pbe\n", "unknown column fil; its columns are file, level"),
        ("file,level\na.xyz,pbé\n".encode("latin-1"), "is not UTF-8 (Latin-1 or UTF-16?)"),
        ("file,level\na.xyz,pbe\n".encode("utf-16"), "is not UTF-8"),
        (b"file,level\na.xyz,pbe\n", "files are relative to the sheet's folder"),
        (b"file,level,interval_fs\na.xyz,pbe,soon\n", "interval_fs is a number"),
        (b"file,level,interval_fs\na.xyz,pbe,nan\n", "a time above 0 is needed"),
        (b"file,level\n" + b"a" * 140_000 + b",pbe\n", "is no CSV table"),
    ],
)
def test_samplesheets_are_read_before_any_task(tmp_path: Path, sheet: bytes, told: str) -> None:
    (tmp_path / "sheet.csv").write_bytes(sheet)
    for group in ("labels", "sticking", "infrared"):
        lines = refused({group: {"dataset": str(tmp_path / "sheet.csv")}})
        assert lines[0].startswith(f"--{group}.dataset: given ")
        assert told in lines[0]


def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    @settings
    class Outputs:
        out: Path = given("Table", path="new file")
        checkpoints: Path = given("Folder", path="new folder")

    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    good = {"out": tmp_path / "new/rows.csv", "checkpoints": tmp_path / "new/kept"}
    load(Outputs, good)
    load(Outputs, {"out": tmp_path / "file", "checkpoints": tmp_path / "folder"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"], "a probe leaves nothing"
    for name, value, message in (
        ("out", tmp_path / "folder", r"\(a folder\); allowed: a file that can be written"),
        ("out", tmp_path / "file/rows.csv", r"file is no folder\)"),
        ("out", "/dev/null", r"\(which is there, and no plain file\)"),
        ("out", "/proc/rows.csv", r"/proc cannot be written: "),
        ("checkpoints", tmp_path / "file", r"\(which is there, and no folder\); allowed: a folder"),
        ("checkpoints", "/proc/kept", r"/proc cannot be written: "),
    ):
        with pytest.raises(UserError, match=message):
            load(Outputs, {**good, name: value})
    assert (tmp_path / "file").read_text() == "mine"


def test_the_profile_test_has_the_sizes_of_the_smallest_run() -> None:
    root = Path(__file__).resolve().parents[2]
    small = json.loads((root / "tests/pipeline/small.json").read_text())
    text = re.sub(r"//.*", "", (root / "conf/test.config").read_text())
    found: dict[str, Any] = {}
    for group, body in re.findall(r"^    (\w+) \{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL):
        found[group] = {name: value.strip("'") for name, value in re.findall(r"(\w+) += (\S+)", body)}
    found |= {
        name: value.strip("'") for name, value in re.findall(r"^    (\w+) += (\S+)", text, re.MULTILINE)
    }

    def plain(value: Any) -> Any:
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else str(value).lower()

    assert plain(found) == plain(small) | {"purpose": "demonstration"}
