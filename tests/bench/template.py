"""An instance from which others are made by exchanging UIDs. Knows no library, so that senders start in no time.

`head` is what stands before the pixels, `tail` the pixels (and `repeat` says how often they follow each other): a
thousand instances cost a thousand heads and one tail.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fixtures.upper_layer import fresh_uid

PATIENT_ID = "P0000000"  # exchanged for others of the same length


@dataclass(frozen=True)
class Template:
    """One instance. Its UIDs stand in *head* only: study, series, instance."""

    name: str
    sop_class_uid: str
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)
    uids: tuple[str, str, str]
    repeat: int = 1
    preamble: bytes = field(repr=False, default=b"")  # what a Part 10 file has before the Data Set

    @property
    def dataset_bytes(self) -> int:
        return len(self.head) + len(self.tail) * self.repeat

    @property
    def study_instance_uid(self) -> str:
        return self.uids[0]

    @property
    def series_instance_uid(self) -> str:
        return self.uids[1]

    def of_new_study(self) -> "Template":
        """The same in a study and series of its own."""
        study, series = fresh_uid(), fresh_uid()
        head = self.head.replace(self.uids[0].encode(), study.encode()).replace(self.uids[1].encode(), series.encode())
        return replace(self, head=head, uids=(study, series, self.uids[2]))

    def instances(self, count: int) -> Iterator[tuple[str, bytes]]:
        """SOP Instance UID and head of *count* new instances of this series."""
        old = self.uids[2].encode()
        for _ in range(count):
            uid = fresh_uid()
            yield uid, self.head.replace(old, uid.encode())

    def part10(self, count: int) -> Iterator[tuple[str, bytes]]:
        """SOP Instance UID and Part 10 file of *count* new instances of this series."""
        old, pixels = self.uids[2].encode(), self.tail * self.repeat
        for uid, head in self.instances(count):
            yield uid, self.preamble.replace(old, uid.encode()) + head + pixels

    def studies(self, first: int, count: int) -> Iterator[tuple[str, bytes]]:
        """The same, each in a study of a patient of its own, numbered from *first*."""
        for number in range(first, first + count):
            [(uid, head)] = self.of_new_study().instances(1)
            yield uid, head.replace(PATIENT_ID.encode(), f"P{number:07}".encode())
