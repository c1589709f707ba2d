"""Advisors: agents and rules that propose points to an ordinary study."""
