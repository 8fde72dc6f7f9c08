"""What is asked of other people's vantages, what it costs there, and what is known of a vantage that answered."""

from typing import Literal

import msgspec

from nettrace.model.measurement import Measurement, Method

Kind = Literal["ping", "trace", "http"]


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One target to be measured once from other people's probes.

    Attributes:
        target: a public name or address; for `http` the URL's host.
        places: where from, each in the service's reach: a city, a country, `AS16509`, a cloud region.
        probes: how many probes at each place.
        packets: of a ping; the other kinds leave it to the service.
        url: of `http`, whole.
    """

    kind: Kind
    target: str
    places: tuple[str, ...]
    probes: int = 1
    packets: int = 3
    method: Method = Method.ICMP
    port: int | None = None
    family: int | None = None
    url: str | None = None

    @property
    def most_results(self) -> int:
        """How many results there can be.

        >>> Errand(kind="ping", target="api.example", places=("Tokyo", "London"), probes=3).most_results
        6
        """
        return len(self.places) * self.probes


class ThirdPartyProbe(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage that is not ours, as its service describes it: nobody here has checked the place.

    Attributes:
        code: its name as a vantage: the service's and what tells it from others.
        service: `globalping` or `atlas`.
        network: the network's name, where the service tells it.
        region: the cloud region it stands in (`aws:ap-northeast-1`), where the service tells it.
    """

    code: str
    service: str
    city: str | None = None
    country: str | None = None
    asn: int | None = None
    network: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    region: str | None = None


class RemoteResult(msgspec.Struct, frozen=True, kw_only=True):
    """One probe's measurement; its `vantage` is the probe's code and its clock `user`."""

    probe: ThirdPartyProbe
    measurement: Measurement


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an errand takes of a service's allowance, at most, before anything is sent.

    Attributes:
        unit: `tests` an hour (Globalping) or `credits` a day (Atlas).
        amount: of the errand.
        limit: of the window.
        left: of the window, before this errand: the smaller of our own ledger's and the service's word.
    """

    service: str
    unit: str
    window_s: int
    amount: int
    limit: int
    left: int
