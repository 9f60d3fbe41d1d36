"""The loops against naive versions of themselves."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from synthetic_people import kernels
from synthetic_people.asset import load_asset
from synthetic_people.geometry import refine, vertex_normals
from synthetic_people.mesh import HAIR, SKIN, Part, Surface, assemble

N, SIDE = 30, 24  # vertices, samples


def soup(seed: int, material: int = SKIN) -> tuple[np.ndarray, Surface]:
    """Random triangles on a small screen, some partly cut away, some one-sided."""
    rng = np.random.default_rng(seed)
    screen = np.column_stack([rng.uniform(-6, SIDE + 6, (N, 2)), rng.uniform(1, 5, N)]).astype(np.float32)
    faces = rng.permuted(np.tile(np.arange(N), (14, 1)), axis=1)[:, :3]
    part = Part(
        screen, faces, material, np.zeros((N, 4), int), np.zeros((N, 4)), uv=rng.uniform(-0.5, 0.5, (N, 2)),
        cut=rng.uniform(-0.5, 1, N), one_sided=rng.random(len(faces)) < 0.5, keep_all=True,
    )  # fmt: skip
    return screen, assemble([part])


def naive_raster(screen: np.ndarray, surface: Surface, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth and triangle per sample: every sample asks every triangle."""
    depth, winner = np.full((side, side), 1e9), np.full((side, side), -1)
    for y in range(side):
        for x in range(side):
            for t, corners in enumerate(surface.faces):
                a, b, c = screen[corners].astype(float)
                matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
                area = np.linalg.det(matrix)
                if surface.one_sided[t] and area > 0:
                    continue
                weights = np.linalg.solve(matrix, [x + 0.5, y + 0.5, 1])
                z = weights @ [a[2], b[2], c[2]]
                if (weights >= 0).all() and z < depth[y, x] and weights @ surface.cut[corners] >= 0:
                    depth[y, x], winner[y, x] = z, t
    return depth, winner


def run_raster(screen: np.ndarray, surface: Surface, ragged: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    depth, triangle = np.empty((SIDE, SIDE), np.float32), np.empty((SIDE, SIDE), np.int32)
    weights = np.empty((SIDE, SIDE, 2), np.float32)
    strands = np.ones(8, np.float32)
    kernels.rasterise(screen, surface, strands, ragged, depth, triangle, weights)
    return depth, triangle, weights


@pytest.mark.parametrize("seed", range(3))
def test_raster_equals_asking_every_triangle(seed: int) -> None:
    screen, surface = soup(seed)
    depth, triangle, weights = run_raster(screen, surface)
    expected_depth, expected = naive_raster(screen, surface, SIDE)
    assert (triangle == expected).mean() > 0.995  # edges may fall either way in float32
    same = (triangle == expected) & (triangle >= 0)
    assert same.sum() > 50
    np.testing.assert_allclose(depth[same], expected_depth[same], rtol=1e-4)
    assert (weights[same] >= 0).all() and (weights[same].sum(-1) <= 1 + 1e-5).all()


def test_a_square_covers_exactly_the_pixels_between_its_edges() -> None:
    corners = np.array([[2, 3, 1], [7, 3, 1], [7, 9, 1], [2, 9, 1]], np.float32)
    part = Part(corners, np.array([[0, 1, 2], [0, 2, 3]]), SKIN, np.zeros((4, 4), int), np.zeros((4, 4)))
    _, triangle, _ = run_raster(corners, assemble([part]))
    expected = np.zeros((SIDE, SIDE), bool)
    expected[3:9, 2:7] = True
    assert ((triangle >= 0) == expected).all()


def test_ragged_hair_reaches_further_than_its_cut_and_skin_does_not() -> None:
    for material, grows in ((HAIR, True), (SKIN, False)):
        screen, surface = soup(5, material)
        sharp, frayed = (run_raster(screen, surface, ragged)[1] >= 0 for ragged in (0.0, 0.3))
        assert (sharp <= frayed).all()
        assert (frayed.sum() > sharp.sum()) == grows


def test_shadow_depths_equal_the_nearest_of_the_two_sided_raster() -> None:
    screen, surface = soup(7)
    depth = np.empty((SIDE, SIDE), np.float32)
    kernels.rasterise_depth(screen, surface.faces, depth)
    everything = surface._replace(cut=np.ones(N, np.float32), one_sided=np.zeros(len(surface.faces), np.uint8))
    expected, _ = naive_raster(screen, everything, SIDE)
    assert (np.abs(depth - expected) < 1e-3).mean() > 0.995


def test_skinning_is_the_weighted_sum_of_bone_transforms() -> None:
    rng = np.random.default_rng(1)
    vertices, offsets = rng.normal(size=(9, 3)).astype("f4"), rng.normal(size=(4, 3)).astype("f4")
    follows = np.array([0, 1, 2, 3, -1, -1, 2, 0, -1], np.int32)
    bones = rng.integers(0, 5, (9, 4)).astype(np.int32)
    weights = rng.dirichlet(np.ones(4), 9).astype("f4")
    world, out = rng.normal(size=(5, 3, 4)).astype("f4"), np.empty((9, 3), np.float32)
    kernels.skin_vertices(vertices, follows, offsets, bones, weights, world, out)
    moved = vertices + np.where(follows[:, None] >= 0, offsets[follows], 0)
    each = np.einsum("nkab,nb->nka", world[bones], np.column_stack([moved, np.ones(9)]))
    np.testing.assert_allclose(out, (each * weights[..., None]).sum(1), atol=1e-5)


def test_normals_equal_the_numpy_ones() -> None:
    asset = load_asset()
    points, faces = asset.template[:400].astype("f4"), asset.faces[(asset.faces < 400).all(1)]
    out = np.empty((400, 3), np.float32)
    kernels.normals(points, faces, out)
    used = np.unique(faces)
    np.testing.assert_allclose(out[used], vertex_normals(points, faces)[used], atol=1e-3)


def test_face_units_add_up() -> None:
    units = SimpleNamespace(
        start=np.array([0, 2, 3]), vertices=np.array([0, 2, 2]), offsets=np.eye(3, dtype=np.float32)
    )
    out = np.full((3, 3), 9, np.float32)
    kernels.blend_units(np.array([2.0, 0.5]), units.start, units.vertices, units.offsets, 3.0, np.array([0, 2]), out)
    np.testing.assert_allclose(out, [[6, 0, 0], [9, 9, 9], [0, 6, 1.5]])


@given(seed=st.integers(0, 2**16), share=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_refining_keeps_the_surface_whole(seed: int, share: float) -> None:
    grid = np.arange(25).reshape(5, 5)
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], -1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points = np.stack(np.divmod(np.arange(25), 5), 1).astype(float)
    chosen = np.random.default_rng(seed).random(len(faces)) < share
    fine, halves = refine(faces, chosen)
    points = np.concatenate([points, points[halves].mean(1)])

    def areas(triangles: np.ndarray) -> np.ndarray:
        a, b, c = (points[triangles[:, k]] for k in range(3))
        return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2

    assert (areas(fine) * np.sign(areas(faces)[0]) > 0).all()  # none turned over
    assert areas(fine).sum() == pytest.approx(areas(faces).sum())
    edges, uses = np.unique(np.sort(fine[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0, return_counts=True)
    rim = np.array([(points[e] == 0).all(0).any() or (points[e] == 4).all(0).any() for e in edges])
    assert (uses == np.where(rim, 1, 2)).all()  # no hanging vertices
    assert len(fine) >= len(faces) + 3 * chosen.sum()
