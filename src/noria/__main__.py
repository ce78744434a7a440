"""`python -m noria` is `noria`."""

from noria.cli.main import run

run()
