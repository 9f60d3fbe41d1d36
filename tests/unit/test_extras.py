"""A package of an extra that is not installed is named in one line, with the command that brings it."""

import subprocess
import sys
from pathlib import Path

import pytest

from magicpose.errors import EXTRAS, UserError, missing_extra, require

WITHOUT = "import sys; sys.modules[{package!r}] = None; from {module} import main; sys.argv[1:] = {arguments!r}; main()"
RENDER = ["render", "--out", "people", "--clips", "1", "--frames", "1", "--size", "32"]


@pytest.mark.parametrize(
    ("module", "arguments", "package", "extra"),
    [
        ("magicpose.cli", ["train", "run.yaml"], "accelerate", "train"),
        ("magicpose.cli", ["train", "run.yaml"], "yaml", "train"),
        ("magicpose.cli", ["train", "run.yaml", "steps=3"], "yaml", "train"),
        ("synthetic_people.cli", RENDER, "numba", "people"),
        ("synthetic_people.cli", [*RENDER, "--workers", "2"], "numba", "people"),
        ("synthetic_people.cli", ["sheet", "--out", "sheet.jpg"], "cv2", "people"),
    ],
)
def test_a_missing_package_is_one_line(
    module: str, arguments: list[str], package: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text("stage: vae\n")
    script = WITHOUT.format(package=package, module=module, arguments=arguments)
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stderr[-2000:]
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1 and package in lines[0] and f"pip install 'magicpose[{extra}]'" in lines[0]


def test_extras_are_those_of_the_package() -> None:
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(declared["optional-dependencies"])


def test_only_packages_of_extras_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_extra(ModuleNotFoundError("No module named 'magicpos'", name="magicpos")) is None
    assert "magicpose[lora]" in str(missing_extra(ModuleNotFoundError("...", name="peft.tuners")))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(UserError, match=r"accelerate: run pip install 'magicpose\[train\]'"):
        require("yaml", "accelerate")
