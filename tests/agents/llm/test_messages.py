"""Conversations kept short."""

from __future__ import annotations

from agents.llm.messages import trimmed


def test_the_tail_begins_with_the_model() -> None:
    messages = [{"role": "system"}, {"role": "user"}]
    messages += [{"role": r, "n": str(n)} for n in range(20) for r in ("assistant", "tool", "tool")]
    short = trimmed(messages, 10)
    assert short[:2] == messages[:2]
    assert short[2]["role"] == "assistant"
    assert short[-1] == messages[-1]
    assert len(short) <= 12
    assert trimmed(messages[:5], 10) == messages[:5]
