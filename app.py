"""Open the studio in the browser: settings -> Studio -> window."""

import gc
import sys

gc.disable()  # nothing is garbage while libraries load: .4 s of the start
from studio import cli, log, settings, studio  # noqa: E402
from studio.ui import build  # noqa: E402


def window() -> None:
    """Serve the window until it is closed."""
    s = settings.load()
    log.configure(s.log_level.upper())
    with studio.Studio.open(s) as opened:
        page = build.build(opened.for_owner(), opened.upkeep, s.data_dir, scheme=s.theme, max_upload_mb=s.max_upload_mb)
        rules = build.rules(s.data_dir, names=s.names, frames=s.frames, max_request_mb=s.max_request_mb)
        build.launch(page, s.data_dir, s.host, s.port, s.password, s.theme, s.max_upload_mb, s.agents, rules=rules)
        print(f"Likeness Studio: http://{s.host}:{s.port}", flush=True)
        gc.enable()
        opened.start(worker=s.worker, sample=s.sample, after=page.drawn)
        page.block_thread()


if __name__ == "__main__":
    sys.exit(cli.guarded(window))
