"""Open the studio in the browser: settings -> Studio -> window."""

import sys

from studio import log, settings, studio
from studio.errors import StudioError
from studio.ui import build


def main() -> int:
    """Serve the window until it is closed; return the exit code."""
    try:
        s = settings.load()
        log.configure(s.log_level.upper())
        with studio.Studio.open(s) as opened:
            page = build.build(
                opened, data_dir=s.data_dir, scheme=s.theme, max_upload_mb=s.max_upload_mb, doctor=opened.doctor
            )
            opened.start(worker=s.worker, sample=s.sample)
            build.launch(
                page,
                data_dir=s.data_dir,
                host=s.host,
                port=s.port,
                password=s.password,
                scheme=s.theme,
                max_upload_mb=s.max_upload_mb,
            )
    except StudioError as error:
        print(f"Error: {error.message}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0
