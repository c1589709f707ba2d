"""What a person can do in a chat, over a small real study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.chat.commands import COMMANDS, handle
from agents.chat.words import HELP
from agents.llm.model import Reply
from agents.llm.scripted import ScriptedModel

Talk = Callable[..., Any]
GOAL = "under 2 s at 20 bits"


def test_a_goal_in_words_is_planned_approved_and_reached(talk: Talk) -> None:
    it = talk(["y"])
    it(GOAL)
    assert "minimise latency under latency <= 2 s, precision >= 20 bit" in it.text
    assert "understand" in it.text
    assert "Dear: encrypted; at most 8 such runs" in it.text
    assert "Goal reached: the smallest ring that holds" in it.text
    assert "latency 1000 ms (measured)" in it.text
    (question,) = it.asked
    assert "log_n=13, scale=40" in question
    assert "its time is not known yet" in question
    assert it.chat.chosen().point == {"log_n": 13, "scale": 40}
    assert it.chat.spent.encrypted_runs == 1


def test_no_dear_run_without_a_yes(talk: Talk) -> None:
    it = talk(["what?", "no"])
    it(GOAL)
    assert len(it.asked) == 2
    assert "A budget is spent: the person declined" in it.text
    assert it.chat.chosen() is None
    assert it.chat.spent.encrypted_runs == 0
    it("/front")
    assert it.text == "No trial is confirmed yet."


def test_what_was_run_before_is_not_asked_for_again(talk: Talk) -> None:
    it = talk(["y"])
    it(GOAL, "/run")
    assert len(it.asked) == 1
    assert it.chat.spent.encrypted_runs == 1


def test_a_no_holds_for_the_whole_run_and_all_too(talk: Talk) -> None:
    it = talk(["a", "n"])
    it(GOAL, "/try scale=41 !")
    assert len(it.asked) == 2
    assert "That does not work: the person declined" in it.text


def test_ctrl_c_stops_the_run_and_not_the_chat(talk: Talk) -> None:
    it = talk(["y", "y"])
    it.encrypted.interrupt.append(True)
    it(GOAL)
    assert "Stopped. What was finished is kept; /run goes on." in it.text
    assert [t.status for t in it.chat.study.trials()] == ["gated", "crashed"]
    it("/run")
    assert "Goal reached" in it.text


def test_knobs_can_be_tried(talk: Talk) -> None:
    it = talk(["y", "y"])
    it(GOAL, "scale = 45")
    assert "scale 40 -> 45" in it.text
    assert "(model)" in it.text
    assert "Nothing foretold speaks against it" in it.text
    it("/try scale=45 !")
    assert "(measured)" in it.text
    assert "/take 3 chooses it" in it.text
    it("/take 3")
    assert it.chat.state.chosen == 3
    it("/front")
    assert "#3" in it.text


def test_an_illegal_knob_is_explained_and_costs_nothing(talk: Talk) -> None:
    it = talk(["y"])
    it(GOAL)
    before = len(it.chat.study.trials())
    it("/try log_n=12")
    assert "is not legal" in it.text
    assert "3 * scale - 100 * log_n" in it.text
    it("why log_n=12?")
    assert "is not legal" in it.text
    it("/try scale=4000")
    assert "an integer in [20, 50]" in it.text
    it("/try color=red")
    assert "Unknown: color. Give knobs as NAME=VALUE (known: log_n, scale)." in it.text
    assert len(it.chat.study.trials()) == before


def test_why_tells_what_the_records_hold(talk: Talk) -> None:
    it = talk(["y", "y"])
    it("/why")
    assert "no such trial yet" in it.text
    it(GOAL, "/try log_n=14 !", "/why 2")
    assert "proposed by chat: the person changed log_n" in it.text
    assert "latency <= 2000 ms: holds, latency 2000 ms (measured)" in it.text
    assert "rung encrypted" in it.text
    assert "against trial 1: latency 2000 here, 1000 ms there (log_n 13 -> 14)" in it.text
    it("why is trial 1 good?")
    assert it.text.startswith("#1 [encrypted, meets the goal]")


def test_budgets_hold_and_can_be_changed(talk: Talk) -> None:
    it = talk(["y"] * 9)
    it("/budget encrypted_runs=1")
    assert "encrypted_runs 0 of 1" in it.text
    it(GOAL, "/try scale=44 !")
    assert "the limit of 0 encrypted runs is reached" in it.text
    assert len(it.asked) == 1
    it("/budget encrypted_runs=two")
    assert it.text.startswith("That does not work: invalid literal")
    it("/budget runs=2")
    assert "no budget 'runs' (known: turns" in it.text
    it("/budget turns=-2")
    assert "at least 0" in it.text


def test_undo_goes_back(talk: Talk) -> None:
    it = talk(["y"])
    it("/undo")
    assert "nothing to undo" in it.text
    own = it.chat.goal_text()
    it(GOAL, "/undo")
    assert "Chosen: none" in it.text
    it("/undo")
    assert own in it.text
    assert it.chat.state.chosen is None


def test_a_chat_is_taken_up_where_it_ended(talk: Talk) -> None:
    it = talk(["y"])
    it(GOAL, "/budget turns=7")
    again = talk()
    again.chat.greet()
    assert "We have talked before" in again.text
    assert again.chat.state == it.chat.state
    again("/undo", "/history")
    assert again.chat.state.limits.turns == 40
    assert "#1 [encrypted, meets the goal]" in again.text


def test_export_writes_the_choice(talk: Talk) -> None:
    it = talk(["y"])
    it("/export")
    assert "Nothing is chosen yet" in it.text
    it(GOAL, "/export")
    folder = it.chat.study.path / "export" / "1"
    assert folder.is_dir()
    assert "Trial 1 is in" in it.text


def test_no_model_is_no_loss_and_says_what_to_set(talk: Talk) -> None:
    it = talk()
    it.chat.greet()
    assert "so the expert answers. To talk to a model, set CIPHER_SEARCH_MODEL" in it.text
    it("make it nice")
    assert "cannot read a goal" in it.text
    assert "Free talk needs a language model: set CIPHER_SEARCH_MODEL" in it.text


def test_a_model_reads_goals_that_rules_cannot(talk: Talk) -> None:
    reply = '{"minimise": "memory", "demands": ["precision >= 30 bit"]}'
    it = talk(["y"], ScriptedModel([Reply(reply)]))
    it("keep my keys tiny but thirty bits right")
    assert "minimise memory under precision >= 30 bit" in it.text
    for bad in ('{"minimise": "beauty", "demands": []}', "no idea", '{"minimise": "memory"}'):
        it = talk([], ScriptedModel([Reply(bad)]))
        it("keep my keys tiny")
        assert "The model's goal cannot be used" in it.text


def test_a_models_answers_have_their_numbers_checked(talk: Talk) -> None:
    model = ScriptedModel([Reply("Trial 1 takes 1000 ms; with luck 3 ms.")])
    it = talk(["y"], model)
    it(GOAL)
    it("how fast is it?")
    assert it.said == ["Trial 1 takes 1000 ms; with luck 3 ms [not in the records]."]
    assert "fc1" in model.requests[0].messages[1]["content"]
    it("and now?")
    assert "The model did not answer (the script has no further line)" in it.text


@pytest.mark.parametrize("line", ["/help", "/plan", "/goal", "/history", "/front", "/budget",
                                  "/take", "/take 99", "/dance", "", "   "])  # fmt: skip
def test_every_command_answers_on_an_empty_study(line: str, talk: Talk) -> None:
    it = talk()
    assert handle(it.chat, line)
    assert bool(it.said) is bool(line.strip())


def test_help_names_every_command(talk: Talk) -> None:
    it = talk()
    it("/help")
    assert it.text == HELP
    assert all(name in HELP for name in (*COMMANDS, "/quit") if name != "/help")
    assert not handle(it.chat, "/quit")
