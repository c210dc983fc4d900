"""Reading releases and nights in notebooks: see docs/reading.md."""

from ultralink.dataset.opening import open_partition, open_rejects, open_release
from ultralink.dataset.row import Evidence, Message, Reject, Sample, Source, Teacher
from ultralink.dataset.rows import Rejects, Samples

__all__ = [
    "Evidence",
    "Message",
    "Reject",
    "Rejects",
    "Sample",
    "Samples",
    "Source",
    "Teacher",
    "open_partition",
    "open_rejects",
    "open_release",
]
