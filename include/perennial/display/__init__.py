"""Texts as people see them: in terminals, logs and pages."""
