"""Fingerprints: names of results before they exist, computed from everything that decides them."""
