"""Clothes: cut from the shell by a signed distance per vertex, which the rasteriser turns into crisp edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthetic_people import patterns
from synthetic_people.asset import Array, load_asset
from synthetic_people.colour import cloth_colour, to_linear
from synthetic_people.geometry import smoothstep, unit
from synthetic_people.identity import Identity
from synthetic_people.mesh import BOTTOM, SHOE, SKIRT, TOP, Part
from synthetic_people.patterns import Cloth
from synthetic_people.seeds import Stream, generator
from synthetic_people.shell import Shell, drape_legs, drape_torso, load_shell

Range = tuple[float, float]
SLEEVELESS: Range = (-1.0, -1.0)
BACK_SEAM = 0.031  # metres the pattern is shifted on the back


class Top(NamedTuple):
    """A kind of top. Heights on the template: waist about 0.1 m, neck about 0.5 m."""

    men: float  # frequency
    women: float
    sleeves: tuple[Range, ...]  # metres from the shoulder, one range is chosen
    hem: Range  # height
    loose: Range  # 0 tight .. 1 hanging
    necks: tuple[str, ...]
    raised: float = 0.007  # metres off the shell
    word: str = ""


ANY_NECK, LOW_NECK = ("crew", "v", "scoop", "crew"), ("scoop", "crew", "v")
TOPS = {
    "tee": Top(0.4, 0.2, ((0.1, 0.22),), (0, 0.08), (0.1, 0.8), ANY_NECK, word="t-shirt"),
    "long": Top(0.2, 0.17, ((0.38, 0.46),), (-0.02, 0.08), (0, 0.6), ANY_NECK, word="sweater"),
    "tank": Top(0.06, 0.12, (SLEEVELESS,), (0.02, 0.1), (0, 0.4), ("scoop", "crew"), word="tank top"),
    "hoodie": Top(0.14, 0.08, ((0.45, 0.45),), (-0.05, 0.03), (0.5, 1), ("crew",), 0.012, "hoodie"),
    "shirt": Top(0.2, 0.14, ((0.2, 0.2), (0.44, 0.44)), (-0.04, 0.04), (0.3, 0.8), ("v",), 0.009, "shirt"),
    "dress": Top(0, 0.17, (SLEEVELESS, (0.08, 0.15), (0.42, 0.42)), (0, 0), (0, 0.3), LOW_NECK, word="dress"),
    "crop": Top(0, 0.12, (SLEEVELESS, (0.08, 0.15)), (0.17, 0.24), (0, 0.3), LOW_NECK, word="crop top"),
}  # fmt: skip


class Bottom(NamedTuple):
    """A kind of trousers, or what is worn under a skirt."""

    men: float
    women: float
    end: Range  # height where the legs end
    loose: Range
    raised: float
    word: str


BOTTOMS = {
    "jeans": Bottom(0.5, 0.3, (-0.79, -0.72), (0.15, 0.7), 0.006, "trousers"),
    "shorts": Bottom(0.28, 0.16, (-0.33, -0.14), (0.3, 1), 0.006, "shorts"),
    "leggings": Bottom(0.08, 0.2, (-0.74, -0.74), (0, 0), 0.003, "leggings"),
    "wide": Bottom(0.14, 0.14, (-0.78, -0.7), (1, 1), 0.006, "wide trousers"),
    "skirt": Bottom(0, 0.2, (-0.1, -0.1), (0, 0), 0.003, "skirt"),
}
BOTTOM_PATTERNS = (
    ("solid", 0.65), ("melange", 0.15), ("plaid", 0.08), ("camouflage", 0.06), ("down", 0.06),
)  # fmt: skip


@dataclass(frozen=True)
class Wardrobe:
    """What somebody wears. Colours linear RGB [3]."""

    parts: tuple[Part, ...]
    covered: Array  # bool [body vertices]: skin safely under cloth
    top: str
    bottom: str
    top_cloth: Cloth
    bottom_cloth: Cloth
    denim: bool
    open_front: bool
    front_print: Array  # RGBA float32 [64, 64, 4]
    inner: Array
    trim: Array
    raglan: Array | None  # colour of the sleeves if not the body's
    shoe: Array
    sole: Array


def _choose(rng: np.random.Generator, table: dict[str, float]) -> str:
    weights = np.array(list(table.values()), float)
    return list(table)[rng.choice(len(table), p=weights / weights.sum())]


def _neckline(shell: Shell, neck: str, hood: bool, rng: np.random.Generator) -> Array:
    """Signed distance [N] to the neck opening, metres, positive on the cloth."""
    x, y, z = shell.template.T
    ax, front = np.abs(x), smoothstep(0.02, -0.06, y)
    radius = rng.uniform(0.068, 0.082)
    ring = np.hypot(ax / radius, (y + 0.012 + 0.012 * front) / (radius * 0.95)) * radius - radius
    cut = np.where(z > 0.40, np.maximum(ring, (0.500 - z) - 0.012 * front), 1.0)
    if hood:
        cut = np.where(z > 0.40, np.maximum(cut, (0.560 - 0.02 * front) - z), 1.0)
    if neck == "v":
        depth = rng.uniform(0.07, 0.14)
        cut = np.minimum(cut, np.where((front > 0.3) & (z > 0.3), ax - (z - (0.49 - depth)) * 0.62, 1))
    if neck == "scoop":
        depth = rng.uniform(0.05, 0.12)
        bowl = np.hypot(ax / 0.105, (z - 0.52) / (depth + 0.04)) * 0.085 - 0.085
        cut = np.minimum(cut, np.where((front > 0.3) & (z > 0.25), bowl, 1))
    return np.where(shell.is_arm & (shell.along_arm > 0.03), 1, cut)


def _top(kind: str, shell: Shell, fitted: Array, normals: Array, rng: np.random.Generator) -> tuple[Part, Array]:
    row = TOPS[kind]
    sleeve = float(rng.uniform(*row.sleeves[rng.integers(len(row.sleeves))]))
    hem, looseness = float(rng.uniform(*row.hem)), float(rng.uniform(*row.loose))
    neck = row.necks[rng.integers(len(row.necks))]
    x, y, z = shell.template.T
    ax, arm = np.abs(x), shell.is_arm
    cut = _neckline(shell, neck, kind == "hoodie", rng)
    if sleeve < 0:
        cut = np.minimum(cut, np.where(z > 0.33, 0.132 - ax + (0.46 - z) * 0.10, np.where(arm, -1, 1)))
    else:
        end = np.where(shell.arm > 0.35, sleeve - shell.along_arm, 1)
        cut = np.where(shell.along_arm > -0.02, np.minimum(cut, end), cut)
    cut = np.where(arm, cut, np.minimum(cut, z - hem))

    vertices = drape_torso(shell, fitted, fitted + normals * row.raised, looseness)
    if sleeve > 0:
        flare = (
            0.004
            + 0.010 * looseness
            + 0.022 * looseness * smoothstep(sleeve - 0.02, sleeve, shell.along_arm) * (sleeve < 0.3)
        )
        vertices += normals * (smoothstep(0.0, 0.08, shell.along_arm) * arm * flare)[:, None]
    u = np.where(arm, np.sign(x) * shell.across_arm, x) + np.where(y > 0.03, BACK_SEAM, 0)
    v = np.where(arm, 0.467 - shell.along_arm, z)
    return _cut_part(shell, vertices, TOP, cut, np.stack([u, v], 1)), cut


def _bottom(
    kind: str, waist: float, shell: Shell, fitted: Array, normals: Array, identity: Identity, rng: np.random.Generator
) -> tuple[Part, Array]:
    row = BOTTOMS[kind]
    end, looseness = float(rng.uniform(*row.end)), float(rng.uniform(*row.loose))
    x, y, z = shell.template.T
    cut = np.where(shell.is_arm | (shell.arm > 0.2), -1, np.minimum(waist - z, z - end))
    vertices = fitted + normals * row.raised
    if looseness > 0:
        vertices = drape_legs(shell, fitted, vertices, identity, looseness)
        vertices += normals * (0.004 * looseness * smoothstep(0.0, -0.1, z))[:, None]
    uv = np.stack([x + np.where(y > 0.03, BACK_SEAM, 0), z], 1)
    return _cut_part(shell, vertices, BOTTOM, cut, uv), cut


def _cut_part(shell: Shell, vertices: Array, material: int, cut: Array, uv: Array) -> Part:
    return Part(vertices, shell.faces, material, shell.weight_bones, shell.weights, shell.template, uv, cut)


def _skirt(identity: Identity, rng: np.random.Generator) -> tuple[Part, float]:
    """The skirt mesh of the asset, flared and folded; and the height of its hem."""
    asset = load_asset()
    faces = asset.group_faces("helper-skirt")
    used = np.unique(faces)
    template, vertices = asset.template[used], identity.vertices[used].copy()
    hem, flare, folds = float(rng.uniform(-0.55, -0.12)), rng.uniform(0.0, 0.5), rng.integers(7, 14)
    down = np.clip((0.1 - template[:, 2]) / 0.6, 0, 1)
    centre = vertices.mean(0)[:2]
    spoke = vertices[:, :2] - centre
    vertices[:, :2] = centre + spoke * (1.05 + flare * down[:, None])
    angle = np.arctan2(template[:, 0], -template[:, 1])
    outwards = unit(np.concatenate([vertices[:, :2] - centre, np.zeros((len(used), 1))], 1))
    vertices += outwards * (0.012 * down * np.sin(folds * angle))[:, None]
    uv = np.stack([angle * 0.12, template[:, 2]], 1)
    part = Part(
        vertices, np.searchsorted(used, faces), SKIRT, asset.weight_bones[used], asset.weights[used], template,
        uv, template[:, 2] - hem,
    )  # fmt: skip
    return part, hem


def _shoes(shell: Shell, fitted: Array, normals: Array, rng: np.random.Generator) -> tuple[Part, Array]:
    x, _, z = shell.template.T
    height = rng.choice([-0.735, -0.70, -0.76])
    cut = np.where(z < -0.6, height - z, -1)
    vertices, sole = fitted + normals * 0.007, z < -0.80
    vertices[sole, 2] -= 0.012
    vertices[sole, :2] += normals[sole, :2] * 0.006
    return _cut_part(shell, vertices, SHOE, cut, np.stack([x, z], 1)), cut


def _covered(shell: Shell, cuts: list[Array], skirt_hem: float | None) -> Array:
    """bool [body]: skin at least 3 cm inside a garment, or under the skirt where legs would pierce it."""
    asset = load_asset()
    best = np.max(cuts, 0)[: shell.original]
    hidden = (asset.shell_distance < 0.05) & (best[asset.shell_nearest] > 0.03)
    if skirt_hem is not None:
        z, x = asset.template[: asset.body_size, 2], asset.template[: asset.body_size, 0]
        hidden |= (z > skirt_hem + 0.06) & (z < 0.1) & (np.abs(x) < 0.25)
    return hidden


def dress(identity: Identity, plain: bool) -> Wardrobe:
    """The clothes of a person; `plain`: solid colours, wide stripes, big checks, prints."""
    rng, shell = generator(identity.seed, Stream.CLOTHES), load_shell()
    fitted, normals = shell.fit(identity)
    top = _choose(rng, {k: row.men if identity.male else row.women for k, row in TOPS.items()})
    bottom = _choose(rng, {k: row.men if identity.male else row.women for k, row in BOTTOMS.items()})
    if top == "dress":
        bottom = "skirt"
    top_part, top_cut = _top(top, shell, fitted, normals, rng)
    waist = 0.125 if top == "crop" else 0.115
    bottom_part, bottom_cut = _bottom(bottom, waist, shell, fitted, normals, identity, rng)
    parts, cuts, hem = [top_part, bottom_part], [top_cut, bottom_cut], None
    if bottom == "skirt":
        skirt, hem = _skirt(identity, rng)
        parts.append(skirt)
    if rng.random() > 0.06:  # else barefoot
        shoes, shoe_cut = _shoes(shell, fitted, normals, rng)
        parts.append(shoes)
        cuts.append(shoe_cut)

    top_cloth = patterns.weave(rng, "solid" if top == "hoodie" and rng.random() < 0.5 else None, plain)
    if top == "dress":
        bottom_cloth = top_cloth
    elif bottom == "skirt":
        bottom_cloth = patterns.weave(rng, None, plain)
    else:
        bottom_cloth = patterns.weave(rng, "solid" if plain else _choose(rng, dict(BOTTOM_PATTERNS)), plain)
    jeans = bottom in ("jeans", "shorts") and rng.random() < 0.4
    if jeans:
        bottom_cloth = patterns.denim(rng)
    printed = patterns.PATTERNS[top_cloth.kind].word == "" and rng.random() < (0.3 if plain else 0.65)
    blank = np.zeros((patterns.PRINT, patterns.PRINT, 4), np.float32)
    mean = top_cloth.texture.mean((0, 1))
    trim_colour, sleeve_colour = to_linear(cloth_colour(rng)), to_linear(cloth_colour(rng))
    return Wardrobe(
        parts=tuple(parts),
        covered=_covered(shell, cuts, hem),
        top=top,
        bottom=bottom,
        top_cloth=top_cloth,
        bottom_cloth=bottom_cloth,
        denim=jeans,
        front_print=patterns.front_print(rng) if printed else blank,
        open_front=top in ("shirt", "hoodie") and rng.random() < (0.2 if plain else 0.4),
        inner=to_linear(cloth_colour(rng)),
        trim=trim_colour if rng.random() < 0.45 else mean * rng.uniform(0.6, 0.9),
        raglan=sleeve_colour if top in ("tee", "long", "hoodie") and rng.random() < 0.18 and not plain else None,
        shoe=to_linear(cloth_colour(rng)),
        sole=to_linear((0.9, 0.9, 0.88)) if rng.random() < 0.6 else to_linear(cloth_colour(rng)),
    )
