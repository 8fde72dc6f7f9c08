"""Latencies of pairs that nobody measured, with intervals that hold as often as they say.

`evidence` is what is known (own history, published matrices) as one plain table, `matrices` reads what others publish,
`shipped` is what comes with NetTrace. `kriging` concludes from pairs whose ends are near, `twins` from ends that see the
world alike, `relays` from a third end; `model` puts them together and sets the intervals by what they miss when known
pairs are hidden from them. `filling` completes a placement request. How and how well: docs/guides/estimates.md.
"""
