"""Open the studio in the browser: settings -> Studio -> window."""

import sys

from studio import log, settings, studio
from studio.cli import guarded
from studio.ui import build


def window() -> None:
    """Serve the window until it is closed."""
    s = settings.load()
    log.configure(s.log_level.upper())
    with studio.Studio.open(s) as opened:
        dir_, look, limit = s.data_dir, s.theme, s.max_upload_mb
        page = build.build(opened, data_dir=dir_, scheme=look, max_upload_mb=limit, doctor=opened.doctor)
        opened.start(worker=s.worker, sample=s.sample)
        at = (s.host, s.port, s.password)
        build.launch(page, data_dir=dir_, host=at[0], port=at[1], password=at[2], scheme=look, max_upload_mb=limit)


if __name__ == "__main__":
    sys.exit(guarded(window))
