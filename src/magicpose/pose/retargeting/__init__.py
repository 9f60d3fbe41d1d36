"""Repair, judgement and fitting of a motion to a person."""
