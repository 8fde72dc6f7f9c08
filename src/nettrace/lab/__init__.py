"""An internet in a box: sites, ASes, routers, cables and faults inside network namespaces of our own."""
