"""Which kernels run, and neighbour lists by cells against those of all pairs."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiled import RUNNABLE
from frazil.errors import UserError
from frazil.potentials import neighbours
from frazil.potentials.kernels import library
from frazil.potentials.neighbours import Neighbours, allocate, update

pytestmark = pytest.mark.skipif(not RUNNABLE, reason="no kernels are carried for this processor")


def test_they_are_chosen_and_said(afresh: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert afresh("").level == RUNNABLE[0]
    assert capsys.readouterr().err == f"compiled kernels: {RUNNABLE[0]}\n"
    for level in RUNNABLE:
        assert afresh(level).level == level
    assert afresh("off") is None
    assert capsys.readouterr().err.endswith("no compiled kernels, JAX instead: FRAZIL_KERNELS=off\n")
    with pytest.raises(UserError, match=r"FRAZIL_KERNELS=fast; allowed are off, x86-64-v4, x86-64-v3"):
        afresh("fast")


def test_others_make_capsules_as_before(afresh: Callable[[str], Any]) -> None:
    """Featomic does, by the same function of the process, with arguments of other types."""
    shared = ctypes.pythonapi.PyCapsule_New
    before, shared.argtypes = shared.argtypes, None
    try:
        assert afresh("") is not None
        assert shared.argtypes is None
    finally:
        shared.argtypes = before


def test_without_a_file_jax_runs(
    afresh: Callable[[str], Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in (*library.SOURCES, *library.HEADERS):
        (tmp_path / name).write_bytes((library.FOLDER / name).read_bytes())
    carried = library.FOLDER / f"{RUNNABLE[0]}.so"
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    assert afresh("") is None
    assert "none are there for this processor" in capsys.readouterr().err
    (tmp_path / carried.name).write_bytes(b"no library")
    assert afresh("") is None
    assert "holds no kernels that load here" in capsys.readouterr().err
    (tmp_path / carried.name).write_bytes(carried.read_bytes())
    with (tmp_path / "kernel.h").open("a") as file:
        file.write("// changed")
    assert afresh("") is None
    assert f"{carried.name} was made of other sources" in capsys.readouterr().err
    monkeypatch.setattr(library, "processor_flags", lambda: {"avx2"})
    with pytest.raises(UserError, match="of which this processor runs: none"):
        afresh("x86-64-v3")


def by(way: Callable[..., Any], built: Neighbours, positions: np.ndarray) -> list[Any]:
    return [None if x is None else np.asarray(x) for x in jax.jit(way)(built, jnp.asarray(positions))]


@pytest.mark.parametrize("case", ["cluster", "flown away", "in a line", "tight", "periodic", "skewed"])
def test_lists_by_cells_are_those_by_pairs(case: str, afresh: Callable[[str], Any]) -> None:
    assert afresh("") is not None
    rng = np.random.default_rng(3)
    cell, positions = None, rng.uniform(0, 14, size=(150, 3))
    if case == "flown away":
        positions[::7] += rng.normal(scale=1e6, size=(22, 3))
        positions[3] = [1e15, -1e15, 0]
        positions[4] = positions[3] + [0.5, 0, 0]
    if case == "in a line":
        positions[:, 1:] *= 1e-3
    if case in ("periodic", "skewed"):
        # Two boxes along one direction, three along another.
        cell = np.diag([9.0, 12.5, 17.0])
        if case == "skewed":
            cell[1, 0], cell[2] = 3.0, [-2.0, 4.0, 17.0]
        positions = rng.uniform(-1, 2, size=(150, 3)) @ cell
    options = {"cell_A": cell, "pbc": [True] * 3} if cell is not None else {}
    start = positions if cell is not None else rng.uniform(0, 14, size=(150, 3))
    built = allocate(start, 3.5, 0.4, capacity=16 if case == "tight" else 120, **options)
    assert built.rebuildable
    own, expected = (by(way, built, positions) for way in (neighbours._by_cells, neighbours._by_pairs))
    assert own[3] == expected[3] > 2
    made = jax.jit(update)(built, positions)
    if case == "tight":
        assert expected[3] > 16
        assert made.overflow
        return
    assert not made.overflow
    np.testing.assert_array_equal(own[0], expected[0])
    real = own[0] < 150
    np.testing.assert_array_equal(own[1][real], expected[1][real])
    np.testing.assert_array_equal(np.asarray(made.index), expected[0])
    assert (own[1][~real] == np.broadcast_to(np.arange(120), (150, 120))[~real]).all()
    if cell is not None:
        np.testing.assert_allclose(own[2], expected[2], rtol=0, atol=1e-12)
        assert np.abs(own[2]).max() > 5


def test_no_atom_and_one(afresh: Callable[[str], Any]) -> None:
    assert afresh("") is not None
    pair = allocate(np.array([[0.0, 0, 0], [0, 0, 1.0]]), 3.0, 0.4)
    apart = jax.jit(update)(pair, jnp.array([[0.0, 0, 0], [0, 0, 50.0]]))
    assert (np.asarray(apart.index) == 2).all()
    broken = jax.jit(update)(replace(pair), jnp.array([[0.0, 0, 0], [0, 0, jnp.nan]]))
    assert (np.asarray(broken.index) == 2).all()
