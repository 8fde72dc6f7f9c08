"""Router names as operators write them, and names that only look like hints."""

import pytest

from nettrace.analysis.geo.hints import hinted_place
from nettrace.outside.hints import router_codes

READ = {
    "ae-1.r20.tokyjp05.jp.bb.gin.ntt.net": "Tokyo",
    "ae-13.r26.frnkge13.de.bb.gin.ntt.net": "Frankfurt",
    "xe-0-4-2-1.a03.frnkge07.de.bb.gin.ntt.net": "Frankfurt",
    "ae-23.a04.snjsca04.us.bb.gin.ntt.net": "San Jose",
    "be3255.ccr31.bos01.atlas.cogentco.com": "Boston",
    "telia.bos01.atlas.cogentco.com": "Boston",
    "ae0.cr10-fra2.ip4.gtt.net": "Frankfurt",
    "port-channel17.core3.fra1.he.net": "Frankfurt",
    "100ge0-79.core1.lis1.he.net": "Lisbon",
    "ldn-bb2-link.ip.twelve99.net": "London",
    "win-bb1-link.ip.twelve99.net": "Vienna",
    "ae9-0.fra30.core-backbone.com": "Frankfurt",
    "xe-2-0-7-0.sth10.core-backbone.com": "Stockholm",
    "te0-1-0-18.br04.sin02.as3491.net": "Singapore",
    "ch-zrh03a-rc2-ae-53-0.aorta.net": "Zurich",
    "pl-waw09e-ri1_ae1.0.as9141.pl": "Warsaw",
    "mx01.Frankfurt.gldn.net": "Frankfurt",
    "vl3704.tr1.praha.cecolo.net.uvtnet.cz": "Prague",
    "lag-21.nycmny837aw-bcr00.netops.charter.com": "New York",
    "lag-46.mcr11rochnyei.netops.charter.com": "Rochester",
    "100.ae1.nrd1.snfcca05.sonic.net": "San Francisco",
    "100.41-ae3304-21.ARTNVAFC-MSE01-AA-IE1.verizon-gni.net": "Ashburn",
    "r1zrh12.core.init7.net": "Zurich",
    "ffm1rt15.ntson.net": "Frankfurt",
    "fra-decix-a99-hu0-1-0-4.belwue.net": "Frankfurt",
    "loopback1.0005.acln.01.ham.de.net.telefonica.de": "Hamburg",
    "ipv4.de-cix.fra.de.as20485.ttk.ru": "Frankfurt",
    "lan.er1.seattle.hamwan.net": "Seattle",
}

NOT_READ = {
    "router1.core.example.net": "trade words",
    "static-70-109-171-11.burl.east.myfairpoint.net": "a subscriber's line",
    "82-209-158-109.cust.bredband2.com": "a subscriber's line",
    "1.126.77.83.dynamic.cust.swisscom.net": "a subscriber's line",
    "c-82-192-224-1.customer.ams.example.ch": "a subscriber's line, whatever city stands in it",
    "124.190.124.178.core.beltelecom.by": "an address",
    "bng.nsw.aussiebb.net": "a broadband gateway is not Birmingham",
    "com-gw1_eman-core.man.olsztyn.pl": "a metropolitan network is not Manchester",
    "bu-100.br1.nat.roedu.net": "network address translation is not Natal",
    "bdr-sto1-ae1.netcologne.de": "a German operator's own name, not Stockholm",
    "ve-102-mlx-gla-1.ggamaur.net": "between roles, unnumbered: not Glasgow",
    "per.can.pos.example.net": "English words",
    "peer-nap.example.it": "a network access point is not Naples",
    "example.net": "no host",
    "fra": "no domain",
    "": "nothing",
}


@pytest.mark.parametrize("name", READ)
def test_a_name_that_says_where(name: str) -> None:
    place = hinted_place(name, router_codes())
    assert place is not None
    assert place.name == READ[name]
    assert place.evidence.startswith("rdns: ")
    assert name.lower() in place.evidence


@pytest.mark.parametrize("name", NOT_READ)
def test_a_name_that_says_nothing_of_places(name: str) -> None:
    assert hinted_place(name, router_codes()) is None, NOT_READ[name]


def test_the_router_counts_not_its_neighbour() -> None:
    place = hinted_place("telia-lon01.fra05.example.net", router_codes())
    assert place is not None
    assert place.name == "Frankfurt"


def test_behind_p2p_stands_the_neighbour() -> None:
    place = hinted_place("be552.rc.ams2.p2p.rc-02.bru1.ic.infra.example.net", router_codes())
    assert place is not None
    assert place.name == "Amsterdam"


def test_an_operators_own_code_means_what_the_operator_means() -> None:
    place = hinted_place("win-b2-link.ip.twelve99.net", router_codes())
    assert place is not None
    assert place.country == "AT"
    assert hinted_place("win-b2-link.ip.example.net", router_codes()) is None
