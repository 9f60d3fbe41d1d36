"""`magicpose models`"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """No options."""


def run(options: Options) -> None:
    from magicpose.animation.presets import PRESETS
    from magicpose.checkpoints.hub import EMBEDDED
    from magicpose.pose.motions import MOTIONS

    print("Models (--model):")
    for name, model in EMBEDDED.items():
        absent = "" if (model.folder / "model_index.json").is_file() else " [no weights in this copy]"
        print(f"  {name:<12}{model.about}{absent}")
    print(f"  {'FOLDER':<12}a folder with model_index.json, such as `magicpose convert` writes")
    print(f"  {'OWNER/NAME':<12}a Hugging Face model in the same layout, downloaded once")
    print("\nMotions (as DRIVER):")
    for name, about in MOTIONS.items():
        print(f"  {name:<12}{about}")
    print("\nPresets (--preset):")
    for preset, row in PRESETS.items():
        print(f"  {preset:<12}{row.scheduler}, {row.steps} steps: {row.about}")
