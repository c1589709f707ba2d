"""Reports of a study family: Markdown, JSON, CSV, one self-contained HTML page, PNG and SVG.

The only input is a sequence of :class:`search.api.snapshot.Snapshot`, one per arm.
"""

from search.report.write import FORMATS, write_report

__all__ = ["FORMATS", "write_report"]
