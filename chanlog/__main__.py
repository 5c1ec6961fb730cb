"""``python -m chanlog``: the same as the command ``chanlog``."""

from chanlog.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
