"""Adapter files as one engine: inspecting, exporting, importing, merging, pushing.

The functions stand in `inspecting`, `exporting`, `merging` and `hub`; this is the
door through which services reach them, so that a missing library is one
sentence, and tests can put something else behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studio.domain.adapter import (
    AdapterFile,
    AdapterFormat,
    AdapterHeader,
    AdapterMetadata,
    ExportReport,
    ImportReport,
)
from studio.domain.base_model import BaseLocation
from studio.engines.base import Image
from studio.engines.diffusion import runtime
from studio.engines.diffusion.adapters import exporting, hub, merging
from studio.engines.diffusion.adapters.inspecting import adapter_file, inspect_adapter
from studio.engines.diffusion.adapters.reading import check_adapter


class AdapterFiles:
    """Reads and writes adapter files; loads a base only while it checks one."""

    name = "adapter-files"
    version = "1"

    def file(self, path: Path) -> Path:
        """See `adapter_file`."""
        return adapter_file(path)

    def inspect(self, path: Path) -> AdapterHeader:
        """See `inspect_adapter`; needs no torch."""
        return inspect_adapter(path)

    def check(self, location: BaseLocation, path: Path) -> None:
        """See `check_adapter`."""
        runtime.prepare()
        check_adapter(location, path)

    def export(
        self,
        location: BaseLocation,
        source: Path,
        out: Path,
        format: AdapterFormat,
        metadata: AdapterMetadata,
        thumbnail: Image | None = None,
    ) -> ExportReport:
        """See `export_adapter`."""
        runtime.prepare()
        return exporting.export_adapter(location, source, out, format, metadata, thumbnail=thumbnail)

    def import_file(self, location: BaseLocation, path: Path, out: Path) -> ImportReport:
        """See `import_adapter`."""
        runtime.prepare()
        return exporting.import_adapter(location, path, out)

    check_push = staticmethod(hub.check_push)
    push = staticmethod(hub.push_files)

    def merge(
        self, location: BaseLocation, sources: Sequence[AdapterFile], out: Path, metadata: AdapterMetadata
    ) -> ExportReport:
        """See `merge_adapters`."""
        runtime.prepare()
        return merging.merge_adapters(location, sources, out, metadata)
