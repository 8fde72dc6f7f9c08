"""Facts about venues, sites, calendars and claims, each with its source, its date and how far it may be trusted.

`facts` are the shapes, `load` reads what ships and what a user adds, `lint` finds what is missing or wrong, `places`
says where things stand. The facts themselves are the TOML files beside these modules.
"""
