"""A whole person: identity, clothes, hair, beard, glasses and make-up as one surface and one set of colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthetic_people import materials
from synthetic_people.asset import Array, BodyAsset, load_asset
from synthetic_people.beard import grow_beard
from synthetic_people.face import paint_face
from synthetic_people.garments import Wardrobe, dress
from synthetic_people.geometry import smoothstep
from synthetic_people.glasses import wear_glasses
from synthetic_people.hair import STYLES, Hairdo, do_hair
from synthetic_people.identity import Identity, make_identity
from synthetic_people.materials import Look, Style
from synthetic_people.mesh import EYE, LASH, MOUTH, SKIN, TEETH, Part, Surface, assemble
from synthetic_people.seeds import Stream, generator

_BASE_MATERIALS = {
    "body": SKIN, "helper-tongue": MOUTH, "helper-l-eye": EYE, "helper-r-eye": EYE, "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH, "helper-l-eyelashes-2": LASH, "helper-r-eyelashes-2": LASH,
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """`surface` and `look` are what is drawn; the rest says what it is."""

    identity: Identity
    wardrobe: Wardrobe
    hairdo: Hairdo
    beard: str
    glasses: bool
    surface: Surface
    look: Look


def _scalp_shadow(asset: BodyAsset, strength: float) -> Array:
    """How much the skin takes the hair's colour, [base]."""
    n = asset.body_size
    template = asset.template[:n]
    spoke = template - np.array([0, -0.035, 0.715])
    azimuth = np.abs(np.arctan2(spoke[:, 0], -spoke[:, 1]))
    line = np.interp(
        azimuth, [0, 0.45, 0.8, 1.15, 1.45, 1.75, 2.2, np.pi], [0.772, 0.768, 0.745, 0.712, 0.69, 0.69, 0.635, 0.615]
    )
    out = np.zeros(asset.base_size)
    hairy = (template[:, 2] > 0.6) & (asset.masks["ears"][:n] < 0.5)
    out[:n] = strength * smoothstep(-0.004, 0.010, template[:, 2] - line) * hairy
    return out


def _base(identity: Identity, wardrobe: Wardrobe, hairdo: Hairdo) -> Part:
    """Skin (where no cloth hides it), eyes, lashes, teeth and tongue. Keeps every vertex: landmarks hang on them."""
    asset = load_asset()
    n = asset.base_size
    faces, materials, one_sided = [], [], []
    for group, material in _BASE_MATERIALS.items():
        triangles = asset.group_faces(group)
        if group == "body":
            triangles = triangles[~wardrobe.covered[triangles].all(1)]
        faces.append(triangles)
        materials.append(np.full(len(triangles), material))
        one_sided.append(np.full(len(triangles), material != LASH))
    cut = np.ones(n)
    lashes = np.unique(np.concatenate([f for f, m in zip(faces, materials) if m[0] == LASH]))
    cut[lashes] = asset.template[lashes, 1] + (0.1385 if identity.lipstick else 0.1365)  # a thin band at the lid
    mask = {name: values[:n] for name, values in asset.masks.items()}
    traits = np.stack(
        [
            mask["lips"], np.maximum(mask["ears"], mask["fingernails"] * 0.6), mask["eyelids"], mask["inside-mouth"],
            _scalp_shadow(asset, hairdo.shadow),
        ],
        1,
    )  # fmt: skip
    return Part(
        identity.vertices[:n], np.concatenate(faces), np.concatenate(materials), asset.weight_bones[:n],
        asset.weights[:n], asset.template[:n], cut=cut, follows=np.arange(n), traits=traits,
        one_sided=np.concatenate(one_sided), keep_all=True,
    )  # fmt: skip


def _eye_centres(asset: BodyAsset) -> Array:
    centres = [asset.template[np.unique(asset.group_faces(f"helper-{s}-eye"))].mean(0) for s in "lr"]
    return np.stack(centres).astype(np.float32)


def _look(identity: Identity, wardrobe: Wardrobe, hairdo: Hairdo, beard: str, frame: Array) -> Look:
    folds = generator(identity.seed, Stream.FOLDS)
    colours = {
        materials.SKIN_COLOUR: identity.skin,
        materials.LIP_COLOUR: identity.lips,
        materials.IRIS_COLOUR: identity.iris,
        materials.HAIR_COLOUR: identity.hair,
        materials.BROW_COLOUR: identity.brows,
        materials.TRIM_COLOUR: wardrobe.trim,
        materials.INNER_COLOUR: wardrobe.inner,
        materials.SHOE_COLOUR: wardrobe.shoe,
        materials.SOLE_COLOUR: wardrobe.sole,
        materials.HAT_COLOUR: hairdo.hat,
        materials.FRAME_COLOUR: frame,
        materials.RAGLAN_COLOUR: np.zeros(3) if wardrobe.raglan is None else wardrobe.raglan,
    }
    style = Style(
        top_period=wardrobe.top_cloth.period,
        bottom_period=wardrobe.bottom_cloth.period,
        curl=STYLES[hairdo.style].curl,
        wrinkles=0.35 + 0.65 * folds.random(),
        wrinkle_phase=folds.random(),
        has_raglan=wardrobe.raglan is not None,
        open_front=bool(wardrobe.open_front),
        denim=bool(wardrobe.denim),
        hoodie=wardrobe.top == "hoodie",
    )
    return Look(
        colours=np.array([colours[row] for row in sorted(colours)], np.float32),
        cloth=np.stack([wardrobe.top_cloth.texture, wardrobe.bottom_cloth.texture]),
        face=paint_face(identity, beard),
        front_print=wardrobe.front_print,
        eyes=_eye_centres(load_asset()),
        style=style,
    )


def make_person(seed: int, plain: bool = False) -> Person:
    """The person of a seed; `plain` restricts the wardrobe."""
    identity = make_identity(seed)
    return put_together(identity, dress(identity, plain))


def put_together(identity: Identity, wardrobe: Wardrobe) -> Person:
    """`identity` in those clothes, with its own hair, beard and glasses."""
    hairdo, beard = do_hair(identity), grow_beard(identity)
    glasses, frame = wear_glasses(identity)
    parts = (_base(identity, wardrobe, hairdo), *wardrobe.parts, *hairdo.parts, *beard.parts, *glasses)
    look = _look(identity, wardrobe, hairdo, beard.kind, frame)
    return Person(identity, wardrobe, hairdo, beard.kind, bool(glasses), assemble(parts), look)
