"""`python -m studio`."""

import gc
import sys

gc.set_threshold(20_000, 20, 20)  # looking for garbage while libraries load takes a fifteenth of a short command
from studio.cli import main  # noqa: E402

if __name__ == "__main__":  # a process that is spawned imports this, too
    sys.exit(main())
