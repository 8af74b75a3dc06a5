"""Fingerprints: names of results before they exist, from all that decides them."""
