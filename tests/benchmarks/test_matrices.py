"""The comparison on matrices: each is what it says, every side reaches the tolerance, misses and
refusals have a note, and rows hold ratios of what was measured."""

import ast
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from benchmarks.lead import lead
from benchmarks.matrices import __main__ as command
from benchmarks.matrices import race as racing
from benchmarks.matrices.problems import SYSTEMS, project
from benchmarks.matrices.race import Record, Rules, race
from benchmarks.matrices.table import page, rows, summary
from benchmarks.matrices.worker import OURS, read, save, turn
from benchmarks.opponents import OPPONENTS, Found, Given, grounded
from pdeops.compare.tables import read_csv

ROOT = Path(__file__).resolve().parents[2]


def built(name):
    system = SYSTEMS[name]
    if why := system.why_not():
        pytest.skip(why)
    return system, system.given(system.small)


def installed(name):
    if importlib.util.find_spec(OPPONENTS[name].package) is None:
        pytest.skip(f"{OPPONENTS[name].package} is not installed (the extra bench)")
    return OPPONENTS[name]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_matrix_is_what_it_says(name):
    """Symmetric and positive definite, or singular with constants in its kernel, or refused."""
    system, given = built(name)
    A = given.A
    assert (A.dtype, A.indices.dtype) == (np.float64, np.int32)
    gap = abs(A - A.T).max() / abs(A).max()
    assert (gap > 1e-3) == system.refused
    if system.refused:
        return
    assert gap < 1e-12
    active, scale = A.diagonal() != 0, abs(A).max()
    if given.singular:
        assert abs(A @ active.astype(float)).max() < 1e-12 * scale
        assert dimension_of_kernel(A[active][:, active]) == 1
    else:
        (lowest,) = scipy.sparse.linalg.eigsh(
            A, 1, sigma=-1e-3 * A.diagonal().mean(), return_eigenvectors=False
        )
        assert lowest > 1e-12 * scale


def dimension_of_kernel(A):
    """Of a matrix whose rows sum to zero. If no coupling is positive, u · A u is the sum of
    |a_ij| (u_i - u_j)² over pairs: zero for constants on each connected component."""
    if A.shape[0] < 1000:
        values = np.linalg.eigvalsh(A.toarray())
        assert values[0] > -1e-12 * values[-1]
        return (values < 1e-12 * values[-1]).sum()
    assert (A - scipy.sparse.diags_array(A.diagonal())).max() == 0
    return scipy.sparse.csgraph.connected_components(A)[0]


def test_rows_of_named_stencils():
    """On cubes the trilinear -Δ does not couple nodes along the axes: 21 of 27 points are left."""
    points = {"blobs": 5, "l_shape": 5, "elements2d": 9, "poisson3d": 7, "elements3d": 21}
    for name, most in points.items():
        assert np.diff(built(name)[1].A.indptr).max() == most, name


def test_nodes_are_removed_and_the_others_stay_in_their_order():
    """A quarter of the square and the area of the disc are missing; the diagonal is 4."""
    for name, missing in (("l_shape", 0.25), ("obstacle", np.pi * 0.04)):
        system, given = built(name)
        assert given.A.shape[0] / system.small**2 == pytest.approx(1 - missing, abs=0.02)
        assert (given.A.diagonal() == 4).all()


def test_right_hand_sides_are_in_the_range():
    for name in ("pressure63_3d", "pressure15_3d", "unit_square"):
        system, given = built(name)
        b = system.right_hand_sides(given)
        assert b.shape == (max(len(system.rhs), 1), given.A.shape[0])
        active = given.A.diagonal() != 0
        assert abs(b.sum(axis=1)).max() < 1e-9 * np.linalg.norm(b)
        assert not b[:, ~active].any()
        np.testing.assert_allclose(project(b, given), b, atol=1e-12 * abs(b).max())


def test_near_null_spaces_are_near_the_kernel():
    """Energy per norm of each stored mode, compared with that of a random vector."""
    for name in ("bar", "elasticity"):
        _, given = built(name)
        B, A = given.near_null_space, given.A
        assert B.shape == (A.shape[0], 6)
        energy = np.einsum("ij,ij->j", B, A @ B) / np.einsum("ij,ij->j", B, B)
        random = np.random.default_rng(0).standard_normal(A.shape[0])
        assert energy.max() < 0.2 * (random @ (A @ random)) / (random @ random)


@pytest.mark.parametrize("opponent", OPPONENTS)
@pytest.mark.parametrize("name", ["blobs_1e4", "elements3d", "delaunay", "unit_square"])
def test_every_opponent_solves(name, opponent):
    other = installed(opponent)
    system, given = built(name)
    if why := other.why_not(given):
        assert "singular" in why
        return
    (b,) = system.right_hand_sides(given)
    found = turn(other.start, given, b)
    assert found["residual"] <= racing.SLACK * given.rtol
    assert (found["iterations"] == 0) == other.direct


def test_direct_methods_are_run_up_to_a_size_in_3d():
    given = built("elements3d")[1]
    direct = OPPONENTS["scipy splu"]
    assert direct.why_not(given) == ""
    assert direct.why_not(given, largest_3d=100).startswith("not run: 3,375 unknowns in 3D")
    assert direct.why_not(replace(given, ndim=2), largest_3d=100) == ""
    assert OPPONENTS["PyAMG RS+CG"].why_not(given, largest_3d=100) == ""


def test_a_grounded_matrix_has_the_solutions_of_the_singular_one():
    """Two free cells and an empty row; by elimination x = (0, 0, 1)."""
    A = scipy.sparse.csr_matrix(np.array([[2.0, 0, -2], [0, 0, 0], [-2, 0, 2]]))
    seen = []

    def dense(given):
        seen.append(given.A.toarray())
        return lambda b: Found(np.linalg.solve(seen[0], b))

    x, *_ = grounded(Given(A, 1e-10, 1, singular=True), dense)(np.array([-2.0, 0, 2]))
    np.testing.assert_array_equal(seen[0], [[4, -2], [-2, 2]])
    np.testing.assert_allclose(x, [0, 0, 1])
    assert A[0, 0] == 2  # the matrix that was given is not changed


def test_what_solvers_receive_is_stored_and_read_again(tmp_path):
    _, given = built("elasticity")
    b = np.arange(2.0 * given.A.shape[0]).reshape(2, -1)
    save(tmp_path, given, b)
    again, right = read(tmp_path)
    np.testing.assert_array_equal(right, b)
    assert (again.A != given.A).nnz == 0
    np.testing.assert_array_equal(again.near_null_space, given.near_null_space)
    for name in ("rtol", "ndim", "singular", "components"):
        assert getattr(again, name) == getattr(given, name)


def test_a_solver_of_one_call_says_what_part_of_it_was_set_up():
    A = scipy.sparse.csr_matrix(2 * np.eye(3))

    def set_up(given):
        return lambda b: Found(b / 2, setup_share=0.75)

    found = turn(set_up, Given(A, 1e-10, 1), np.ones(3))
    assert found["residual"] == 0
    assert found["setup"][0] > 3 * found["solve"][0] > 0


def test_a_solver_that_changes_the_matrix_is_judged_on_the_one_given():
    A = scipy.sparse.csr_matrix(2 * np.eye(3))

    def set_up(given):
        given.A.data[:] = 1.0
        return lambda b: Found(given.A @ b)

    assert turn(set_up, Given(A, 1e-10, 1), np.ones(3))["residual"] == 1.0


@pytest.mark.slow
def test_a_race_on_one_matrix():
    """Each side in its process: ours and scipy's, to the tolerance, with ratios of the totals."""
    system, given = built("blobs")
    b = system.right_hand_sides(given)
    records = race(given, b, (OURS, "scipy splu"), Rules(warm=1))
    assert [r.failure for r in records.values()] == ["", ""]
    assert all(len(r.turns) == 2 and r.several for r in records.values())
    found = rows(system, given, records)
    ours, theirs = found
    assert (ours["side"], theirs["side"]) == (OURS, "scipy splu")
    assert all(float(r["residual"]) <= 1.1e-10 for r in found)
    ratio = float(theirs["s_at_1"]) / float(ours["s_at_1"])
    assert float(theirs["times_faster"]) == pytest.approx(ratio, rel=0.02, abs=0.01)
    assert ours["times_faster"] == ours["lead"] == ""
    assert len({line.count("|") for line in page(found) if line.startswith("| ")}) == 2
    assert "scipy splu" in summary(found)


def test_a_matrix_that_must_be_refused_is_refused():
    system, _ = built("recirc_flow")
    (row,) = command.measure(system, (OURS, "scipy splu"), Rules(warm=0), 0)
    assert row["note"].startswith("refused, as it must be: ")
    assert row["setup_s"] == ""


def solved(**changes):
    return {
        "setup": (1.0, 1.5), "solve": (0.5, 0.25), "iterations": 3, "residual": 1e-11,
        "method": "", "peak_mb": 1.0, **changes,
    }  # fmt: skip


class Scripted:
    """A process that gives these answers, and notes what it was asked and that it was closed."""

    limit = 1.0

    def __init__(self, *answers, together=False):
        self.answers = [{"import": 0.1, "together": together}, *answers]
        self.asked, self.closed = [], []

    def send(self, asked):
        self.asked.append((asked["turn"], asked["rhs"]))

    def answer(self, limit=None):
        return dict(self.answers.pop(0))

    def close(self, *, kill=False):
        self.closed.append(kill)


@pytest.fixture
def scripted(monkeypatch):
    """Runs a race of scripted processes on a matrix that none of them looks at."""

    def run(sides, rules):
        monkeypatch.setattr(racing, "Process", lambda folder, side, rules: sides[side])
        given = Given(scipy.sparse.csr_matrix(np.eye(2)), 1e-10, 2)
        return race(given, np.ones((1, 2)), tuple(sides), rules)

    return run


def test_a_slow_opponent_has_one_turn_and_ours_a_warm_one(scripted):
    slow = solved(solve=(5.0, 5.0))
    sides = {OURS: Scripted(slow, solved()), "CHOLMOD": Scripted(slow)}
    records = scripted(sides, Rules(warm=1, slow=2.0))
    assert sides[OURS].asked == [(0, 1), (1, 1)]
    assert sides["CHOLMOD"].asked == [(0, 1)]
    assert records[OURS].total(1) == 1.5  # the cold turn is no part of it
    assert (records[OURS].cold, records["CHOLMOD"].total(1)) == (6.0, 6.0)


def test_a_side_that_misses_the_tolerance_has_failed(scripted):
    sides = {OURS: Scripted(solved(), solved(residual=1.2e-10))}
    record = scripted(sides, Rules(warm=3))[OURS]
    assert record.failure == "|b - A x| = 1.2e-10 |b| > 1e-10 |b|"
    assert sides[OURS].closed == [True]
    nan = {OURS: Scripted(solved(residual=float("nan")))}
    assert "nan" in scripted(nan, Rules(warm=3))[OURS].failure


def test_several_right_hand_sides_are_solved_twice_and_the_second_counts(scripted):
    first, second = solved(solve=(9.0, 9.0)), solved(setup=(2.0, 2.0), solve=(4.0, 4.0))
    sides = {OURS: Scripted(solved(), first, second, together=True)}
    record = scripted(sides, Rules(warm=0))[OURS]
    assert sides[OURS].asked == [(0, 1), (0, 10), (1, 10)]  # 100 would take more than 20 s
    assert (record.total(1), record.total(10), record.total(100)) == (1.5, 6.0, 42.0)


def test_many_right_hand_sides_are_measured_where_there_is_time(scripted):
    """By another method, say: 100 are not ten times 10."""
    few, many = solved(solve=(1.0, 1.0)), solved(solve=(3.0, 3.0), method="direct")
    sides = {OURS: Scripted(solved(), few, few, many, together=True)}
    records = scripted(sides, Rules(warm=0))
    assert sides[OURS].asked == [(0, 1), (0, 10), (1, 10), (2, 100)]
    assert [records[OURS].total(k) for k in (1, 10, 100)] == [1.5, 2.0, 4.0]
    given = Given(scipy.sparse.csr_matrix(np.eye(2)), 1e-10, 2)
    (row,) = rows(SYSTEMS["blobs"], given, records)
    assert (row["method"], row["s_at_100"]) == ("direct", "0.04")


def test_slow_sides_solve_no_several_right_hand_sides(scripted):
    """Neither after a slow turn, nor again after a slow turn with several."""
    slow = solved(solve=(9.0, 9.0))
    sides = {OURS: Scripted(slow, together=True), "scipy splu": Scripted(slow, together=True)}
    records = scripted(sides, Rules(warm=0, slow=2.0))
    assert sides[OURS].asked == sides["scipy splu"].asked == [(0, 1)]
    assert records[OURS].total(10) == 91.0
    once = {OURS: Scripted(solved(), solved(solve=(90.0, 90.0)), together=True)}
    assert scripted(once, Rules(warm=0))[OURS].total(10) == 91.0
    assert once[OURS].asked == [(0, 1), (0, 10)]


def test_a_process_that_is_too_slow_or_dies_is_named(tmp_path, monkeypatch):
    system, given = built("blobs")
    save(tmp_path, given, system.right_hand_sides(given))
    process = racing.Process(tmp_path, "scipy splu", Rules(threads=1))
    assert process.answer(60)["import"] > 0
    # It was asked nothing, and has used more than -1 s.
    assert process.answer(-1.0) == {"failed": "more than -1 s of processor time"}
    process.send({"turn": 0, "rhs": 1})
    assert process.answer(60)["residual"] < 1e-10
    process.send({"turn": 0, "rhs": "ten"})
    assert process.answer(60)["failed"].startswith("its process ended: ")
    process.close()


def test_the_lead_ends_at_the_break_even():
    """Set-up 1 and 10 s, 2 and 1 s per solve: equal totals at 9 solves."""
    ours, theirs = (lambda k: 1 + 2 * k), (lambda k: 10 + 1 * k)
    assert lead(ours, theirs) == "ours; theirs from 9 solves"
    assert lead(theirs, ours) == "theirs; ours from 9 solves"
    assert lead(ours, lambda k: 10 + 2 * k) == "ours"
    assert lead(ours, lambda k: 2 * k) == "theirs"


def test_the_table_without_figures_of_ours():
    """Others have their seconds, and no ratio."""
    system, given = SYSTEMS["blobs"], Given(scipy.sparse.csr_matrix(np.eye(2)), 1e-10, 2)
    records = {OURS: Record(failure="more than 9 s"), "CHOLMOD": Record([solved()])}
    ours, theirs = rows(system, given, records)
    assert (ours["note"], ours["s_at_1"]) == ("more than 9 s", "")
    assert (theirs["s_at_1"], theirs["s_at_10"], theirs["times_faster"]) == ("1.5", "0.6", "")
    assert "more than 9 s" in summary([ours, theirs])


def test_systems_are_merged_in_their_order():
    older = [{"matrix": "elasticity", "v": "1"}, {"matrix": "blobs", "v": "1"}]
    found = [{"matrix": "blobs", "v": "2"}]
    assert command.merged(older, found) == [found[0], older[0]]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/results").glob("matrices.csv")))
def test_the_committed_page_is_that_of_its_rows(path):
    text = "\n".join(page(read_csv(path))) + "\n"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == text


def test_the_package_never_imports_solvers_for_benchmarks():
    """polyfem-polysolve is under the GPL in parts."""
    for room in ("pdeops", "datasets", "solvers", "configs"):
        files = sorted((ROOT / room).rglob("*.py"))
        assert files
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                roots = {name.split(".")[0] for name in names}
                assert not roots & {"polysolve", "benchmarks"}, file
