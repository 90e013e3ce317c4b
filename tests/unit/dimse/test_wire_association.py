"""An association that a peer requested, from its connection to its end."""

import gc
import weakref
from pathlib import Path

from fixtures import upper_layer as ul
from fixtures.dimse_node import dimse_node
from fixtures.waiting import eventually


def test_an_association_that_is_over_does_not_wait_for_the_garbage_collector(tmp_path: Path) -> None:
    """Else a thousand of them would be in memory before it looks."""
    with dimse_node(tmp_path, engine="inline") as node:
        door = node.server._server
        assert door is not None
        connection = ul.associate(node.port, ul.associate_rq([(ul.VERIFICATION, [ul.EXPLICIT_VR_LITTLE_ENDIAN])]))
        gc.disable()
        try:
            [served] = map(weakref.ref, door.active_associations)
            connection.sendall(ul.pdv(3, ul.echo_rq(1)))
            assert ul.status_of(ul.read_pdu(connection)[1]) == 0
            ul.release(connection)
            assert eventually(lambda: served() is None, 120)
        finally:
            gc.enable()
