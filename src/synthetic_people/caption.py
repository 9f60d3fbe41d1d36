"""Words for a person and a scene: a small closed vocabulary, used as text prompt."""

from __future__ import annotations

from itertools import chain

from synthetic_people.background import KINDS, Background
from synthetic_people.beard import BEARDS
from synthetic_people.clutter import PLACES
from synthetic_people.colour import COLOUR_NAMES, HAIR_COLOURS, colour_name, to_srgb
from synthetic_people.garments import BOTTOMS, TOPS
from synthetic_people.hair import STYLES
from synthetic_people.motion import Framing
from synthetic_people.patterns import PATTERNS, Cloth
from synthetic_people.person import Person

FRAMINGS: dict[Framing, str] = {
    "full": "full body of",
    "knee": "three quarter view of",
    "half": "half body of",
    "bust": "bust of",
    "head": "head of",
    "face": "close-up of",
}
_PLACE_WORDS = {name: row.words for name, row in KINDS.items()} | {name: row.words for name, row in PLACES.items()}
_UNSAID_BEARDS = ("none", "stubble")
_SHOWS_BOTTOM = ("full", "knee", "half")
_NO_ARTICLE = ("trousers", "wide trousers", "shorts", "leggings")


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _cloth(cloth: Cloth, denim: bool = False) -> str:
    return "denim" if denim else _words(colour_name(cloth.colour), PATTERNS[cloth.kind].word)


def describe(person: Person, framing: Framing, background: Background, motion: str) -> dict[str, str]:
    """Attributes in words; an empty string where there is nothing (or it is out of the picture)."""
    wardrobe, hairdo, identity = person.wardrobe, person.hairdo, person.identity
    style = STYLES[hairdo.style]
    hair_colour = colour_name(to_srgb(hairdo.hat)) if style.hat else identity.hair_name
    bottom = framing in _SHOWS_BOTTOM and wardrobe.top != "dress"
    return {
        "framing": FRAMINGS[framing],
        "person": _words("an old" if identity.old else "a young", "man" if identity.male else "woman"),
        "hair": style.words.format(hair_colour),
        "beard": "" if person.beard in _UNSAID_BEARDS else person.beard,
        "glasses": "glasses" if person.glasses else "",
        "top": _words("a", _cloth(wardrobe.top_cloth), TOPS[wardrobe.top].word),
        "bottom": _bottom(wardrobe.bottom, _cloth(wardrobe.bottom_cloth, wardrobe.denim)) if bottom else "",
        "background": _PLACE_WORDS[background.kind].format(colour_name(to_srgb(background.colour))),
        "motion": motion,
    }


def _bottom(kind: str, cloth: str) -> str:
    word = BOTTOMS[kind].word
    return _words("" if word in _NO_ARTICLE else "a", cloth, word)


def caption(attributes: dict[str, str]) -> str:
    """One sentence: "bust of a young woman with long brown hair and glasses, wearing a red t-shirt, a grey wall"."""
    a = attributes
    head = " and ".join(part for part in (a["hair"], a["beard"] and f"a {a['beard']}", a["glasses"]) if part)
    worn = " and ".join(part for part in (a["top"], a["bottom"]) if part)
    return f"{a['framing']} {a['person']} with {head}, wearing {worn}, {a['background']}"


def vocabulary() -> frozenset[str]:
    """Every word a caption can contain."""
    phrases = chain(
        FRAMINGS.values(),
        ("a an and with wearing old young man woman glasses denim",),
        COLOUR_NAMES,
        HAIR_COLOURS,
        (style.words for style in STYLES.values()),
        (beard for beard in BEARDS if beard not in _UNSAID_BEARDS),
        (row.word for row in TOPS.values()),
        (row.word for row in BOTTOMS.values()),
        (row.word for row in PATTERNS.values()),
        _PLACE_WORDS.values(),
    )
    return frozenset(word for phrase in phrases for word in phrase.replace("{}", " ").split())
