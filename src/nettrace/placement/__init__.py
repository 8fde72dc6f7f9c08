"""Where trading servers should stand: the request, the exact optimum, its proof and its doubts. Pure.

`request` reads what is asked, `problem` says what it means in integers, `search` and `highs` find the optimum (and
agree), `conflict` explains why there is none, `front`, `sensitivity` and `chance` say how much the answer can be
trusted, `plan` puts it together and `sheet` writes it for a person.
"""
