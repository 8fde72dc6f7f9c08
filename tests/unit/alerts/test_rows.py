"""What the store keeps of alerts."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.alert import (
    AlertStep,
    Delivery,
    DeliveryState,
    Incident,
    IncidentState,
    NoticeKind,
    Order,
)
from nettrace.model.instant import NS_PER_S
from nettrace.model.signal import Severity
from nettrace.store.port import StoreReader, StoreWriter

NOW = 1_800_000_000 * NS_PER_S
DAY = 86_400 * NS_PER_S


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[StoreWriter, StoreReader]]:
    writer = open_writer(Data(tmp_path))
    reader = open_reader(Data(tmp_path))
    yield writer, reader
    reader.close()
    writer.close()


def incident(number: int, state: IncidentState = IncidentState.OPEN) -> Incident:
    return Incident(
        id=f"inc_{number}", cause=f"target:{number}", severity=Severity.WARNING, rules=("r",), since=NOW,
        opened_at=NOW + number, state=state,
    )  # fmt: skip


def delivery(number: int, at: int, state: DeliveryState = DeliveryState.PENDING) -> Delivery:
    return Delivery(
        id=f"msg_{number}", channel="desk", incident=f"inc_{number % 2}", kind=NoticeKind.OPENED, created_at=at,
        body=b"{}", state=state,
    )  # fmt: skip


def test_a_step_is_stored_whole_and_found_by_what_it_is(hub: tuple[StoreWriter, StoreReader]) -> None:
    writer, reader = hub
    closed = incident(2, IncidentState.CLOSED)
    step = AlertStep(
        incidents=(incident(1), closed), deliveries=(delivery(1, NOW), delivery(2, NOW + 1, DeliveryState.FAILED)),
        state={"place": b"p"},
    )  # fmt: skip
    writer.put_alerts(step)
    writer.put_alerts(
        AlertStep(incidents=(msgspec.structs.replace(closed, closed_by="ann"),), state={"other": b"o"})
    )

    assert [each.id for each in reader.incidents()] == ["inc_2", "inc_1"]
    assert [each.closed_by for each in reader.incidents(states=(IncidentState.CLOSED,))] == ["ann"]
    assert [each.id for each in reader.deliveries(states=(DeliveryState.PENDING,))] == ["msg_1"]
    assert [each.id for each in reader.deliveries(incident="inc_0")] == ["msg_2"]
    assert reader.delivery("msg_9") is None
    assert reader.alert_state() == {"place": b"p", "other": b"o"}


def test_orders_are_numbered_and_read_once(hub: tuple[StoreWriter, StoreReader]) -> None:
    writer, reader = hub
    for subject in ("inc_1", "inc_2"):
        writer.put_alert_order(Order(action="ack", subject=subject, actor="ann", at=NOW))
    assert [(each.number, each.subject) for each in reader.alert_orders()] == [(1, "inc_1"), (2, "inc_2")]
    assert [each.subject for each in reader.alert_orders(1)] == ["inc_2"]


def test_old_deliveries_are_forgotten_unless_they_still_wait(hub: tuple[StoreWriter, StoreReader]) -> None:
    writer, reader = hub
    writer.put_alerts(AlertStep(deliveries=(delivery(1, NOW), delivery(2, NOW, DeliveryState.DELIVERED))))
    writer.put_alerts(AlertStep(deliveries=(delivery(3, NOW + 89 * DAY),)))
    assert len(reader.deliveries()) == 3
    writer.put_alerts(AlertStep(deliveries=(delivery(4, NOW + 91 * DAY),)))
    assert {each.id for each in reader.deliveries()} == {"msg_1", "msg_3", "msg_4"}
