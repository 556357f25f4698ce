"""Open the studio in the browser: settings -> Studio -> window."""

import sys

from studio import log, settings
from studio.errors import StudioError
from studio.studio import Studio


def main() -> int:
    """Serve the window until it is closed; return the exit code."""
    try:
        chosen = settings.load()
        log.configure(chosen.log_level.upper())
        with Studio.open(chosen) as studio:
            studio.serve(lambda address: print(f"Likeness Studio is open at {address}", flush=True))
    except StudioError as error:
        print(f"Error: {error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
