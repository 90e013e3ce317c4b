"""A C-STORE sender that costs next to nothing: every byte is made before the clock starts. Knows no part of Relais.

Each association is a process with one socket. It sends one instance, waits for the response, sends the next (PS3.7
D.3.3.3: one operation at a time), and counts what was not Success. P-DATA-TF are as long as the peer allows.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.crew import together
from bench.template import Template
from bench.wire import Association
from fixtures.upper_layer import EXPLICIT_VR_LITTLE_ENDIAN, fragments, pdv, store_rq


@dataclass
class Sent:
    """What senders saw, from the first byte of the first to the last response of the last."""

    count: int
    failures: int
    began_at: float
    ended_at: float
    cpu_s: float
    latencies_ms: list[float] = field(repr=False)

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at

    @property
    def rate(self) -> float:
        """Instances a second."""
        return self.count / self.seconds


def send(port: int, templates: Sequence[Template], count: int, called: str, *, own_studies: bool = False) -> Sent:
    """*count* new instances in all: each of *templates* goes over an association of its own, all at once.

    They are of the template's study and series, or with *own_studies* each of another patient.
    """
    each = count // len(templates)
    shares = [(port, one, number * each, each, called, own_studies) for number, one in enumerate(templates)]
    found: list[Sent] = together(_send_share, shares)
    return Sent(
        sum(one.count for one in found),
        sum(one.failures for one in found),
        min(one.began_at for one in found),
        max(one.ended_at for one in found),
        sum(one.cpu_s for one in found),
        sorted(ms for one in found for ms in one.latencies_ms),
    )


def _send_share(
    ready: Callable[[], None], port: int, template: Template, first: int, count: int, called: str, own_studies: bool
) -> Sent:
    instances = template.studies(first, count) if own_studies else template.instances(count)
    assoc = Association(port, [(template.sop_class_uid, (EXPLICIT_VR_LITTLE_ENDIAN,))], called)
    messages = list(_messages(template, instances, assoc.max_pdu))
    ready()
    sent = _send(assoc, messages)
    assoc.release()
    return sent


def _send(assoc: Association, messages: Sequence[Sequence[bytes]]) -> Sent:
    failures, latencies, answers = 0, [], assoc.messages()
    cpu, began_at = time.process_time(), time.monotonic()
    for message in messages:
        sent_at = time.monotonic()
        assoc.send(*message)
        failures += next(answers).status != 0
        latencies.append((time.monotonic() - sent_at) * 1000)
    return Sent(len(messages), failures, began_at, time.monotonic(), time.process_time() - cpu, latencies)


def _messages(template: Template, instances: Iterable[tuple[str, bytes]], max_pdu: int) -> Iterator[list[bytes]]:
    """Each instance as PDUs, of which the pixels are the same bytes in memory."""
    middle, last = _framed(template.tail, max_pdu, is_last=False), _framed(template.tail, max_pdu, is_last=True)
    tail = [*[middle] * (template.repeat - 1), last]
    for number, (uid, head) in enumerate(instances):
        request = store_rq(number % 65535 + 1, template.sop_class_uid, uid)
        yield [pdv(3, request) + _framed(head, max_pdu, is_last=False), *tail]


def _framed(data: bytes, max_pdu: int, *, is_last: bool) -> bytes:
    pdus = list(fragments(data, max_pdu))
    if not is_last:  # the message control header is the last byte before the fragment
        pdus[-1] = pdus[-1][:11] + b"\0" + pdus[-1][12:]
    return b"".join(pdus)
