"""`python -m scripts.stack`: the whole service on this machine, `dev` until Ctrl-C, `demo` for one picture."""

import argparse
import os
import sys
from pathlib import Path

import httpx

from scripts.stack.demo import run_demo
from scripts.stack.dev import run_dev
from scripts.stack.files import read_env_file
from scripts.stack.processes import StackError
from scripts.stack.stack import ROOT


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for a failure that one message explains, 130 after Ctrl-C."""
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
    except (StackError, ValueError, OSError, httpx.HTTPError) as error:
        print(f"scripts/{chosen.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts", description=__doc__)
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
