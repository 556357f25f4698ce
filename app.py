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
        folder, look, limit = s.data_dir, s.theme, s.max_upload_mb
        page = build.build(opened, data_dir=folder, scheme=look, max_upload_mb=limit, doctor=opened.doctor)
        opened.start(worker=s.worker, sample=s.sample)
        where = {"host": s.host, "password": s.password}
        build.launch(page, data_dir=folder, scheme=look, max_upload_mb=limit, port=s.port, **where)


if __name__ == "__main__":
    sys.exit(guarded(window))
