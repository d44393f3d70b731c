"""Run the whole service on this machine: `dev` until Ctrl-C, `demo` for one picture. Tests import `Stack` from here."""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # Run as a file, Python looks for modules beside it and not in the checkout.
    sys.path.insert(0, str(ROOT))

from scripts.development.child import StackError  # noqa: E402
from scripts.development.demo import run_demo  # noqa: E402
from scripts.development.dev import run_dev  # noqa: E402
from scripts.development.files import read_env_file  # noqa: E402
from scripts.development.ports import PortTakenError  # noqa: E402
from scripts.development.stack import Stack  # noqa: E402

__all__ = ["Stack", "StackError", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for a failure told in one message, 130 after Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    try:
        env = _environment()
        data_dir = Path(env.get("DATA_DIR") or "var")
        if chosen.command == "dev":
            run_dev(env, data_dir)
        else:
            run_demo(env, data_dir, prompt=chosen.prompt, model=chosen.model)
    except KeyboardInterrupt:
        return 130
    except (StackError, PortTakenError, ValueError, OSError) as error:
        print(f"scripts/{chosen.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stack.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("dev", help="run everything until Ctrl-C")
    demo = commands.add_parser("demo", help="generate one picture, print its path and end")
    demo.add_argument("prompt", nargs="?", default="a red bicycle")
    demo.add_argument("--model", default="flux-pro")
    return parser


def _environment() -> dict[str, str]:
    """Return the settings: those of `.env`, where there is one, under those of the environment."""
    file = ROOT / ".env"
    return {**(read_env_file(file.read_text()) if file.exists() else {}), **os.environ}


if __name__ == "__main__":
    sys.exit(main())
