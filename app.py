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
        print(f"Likeness Studio: http://{s.host}:{s.port}", flush=True)
        build.launch(
            page, data_dir=dir_, host=s.host, port=s.port, password=s.password, scheme=look, max_upload_mb=limit
        )


if __name__ == "__main__":
    sys.exit(guarded(window))
