"""`magicpose VERB ...`: one file per verb, imported only when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from magicpose import __version__
from magicpose.errors import UserError, missing_extra

# verb -> one line; the module of the same name holds `Options` (a dataclass, its fields are the options) and `run`
VERBS = {
    "animate": "a photo of a person and a driver of motion in, a video out",
    "detect": "find people in a picture or video, write their keypoints",
    "draw": "draw keypoints as pose maps or as an overlay",
    "retarget": "fit a motion to the person in a picture",
    "convert": "checkpoints of the original, of Stable Diffusion and of AnimateDiff, in and out",
    "train": "run a training stage",
    "bench": "measure speed and memory against the original's loop",
    "models": "list what can be named as a model, motion or preset",
}
USER_ERROR, INTERRUPTED = 2, 130
_BOX = " ╭╮╰╯│─"


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with 0, 2 (the user's to mend, one line says what) or 130 (Ctrl-C)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] == "--version":
        print(f"magicpose {__version__}")
        return
    sys.exit(_run(arguments[0], arguments[1:]))


def usage() -> str:
    """What `magicpose --help` prints."""
    lines = [f"  {verb:<10}{about}" for verb, about in VERBS.items()]
    return "\n".join(
        ["usage: magicpose VERB ...", "", *lines, "", "magicpose VERB --help tells more; magicpose --version", ""]
    )


def _run(verb: str, arguments: Sequence[str]) -> int:
    if verb not in VERBS:
        print(f"magicpose: there is no verb {verb!r}: choose one of {', '.join(VERBS)}", file=sys.stderr)
        return USER_ERROR
    module = importlib.import_module(f"magicpose.cli.{verb}")
    options = _parsed(verb, module.Options, arguments)
    _quiet_libraries()
    try:
        module.run(options)
    except UserError as error:
        return _refused(verb, error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return _refused(verb, missing)
    except KeyboardInterrupt:
        hint = module.interrupted(options) if hasattr(module, "interrupted") else "stopped"
        print(f"magicpose {verb}: {hint}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _refused(verb: str, error: UserError) -> int:
    print(f"magicpose {verb}: {' '.join(str(error).split())}", file=sys.stderr)
    return USER_ERROR


def _parsed(verb: str, options: type[Any], arguments: Sequence[str]) -> Any:
    """The verb's options; wrong ones end the program with one line in place of tyro's box."""
    import tyro

    from magicpose.cli.values import VALUES

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                options, args=list(arguments), prog=f"magicpose {verb}", description=VERBS[verb], registry=VALUES
            )
    except SystemExit as ended:
        if ended.code:
            lines = [line.strip(_BOX) for line in said.getvalue().splitlines()]
            told = itertools.takewhile(lambda line: not line.startswith(("For full help", "Argument help")), lines[1:])
            what = " ".join(line for line in told if line and not line.endswith(" --help")).rstrip(".")
            print(f"magicpose {verb}: {what}; see magicpose {verb} --help", file=sys.stderr)
            sys.exit(USER_ERROR)
        raise


def _quiet_libraries() -> None:
    """Our own warnings as one line each; those of libraries are for developers."""
    from magicpose.media.files import MediaWarning

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", MediaWarning)
    said: set[str] = set()  # a file may be opened several times

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in said:
            print(f"note: {message}", file=sys.stderr)
        said.add(str(message))

    warnings.showwarning = show
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
