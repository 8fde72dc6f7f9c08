"""The chapters of a placement document, one function each: what was asked and found goes in, a section comes out."""
