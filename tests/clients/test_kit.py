"""Tests of the kit's own parts; the clients themselves are not run."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import client
import clients
import report
import tasks
import terminal


class Heard:
    """An engine that was asked for these chats."""

    simulated = True

    def __init__(self, *bodies: dict):
        self.bodies = bodies

    def chats(self) -> list[dict]:
        return list(self.bodies)


def loop(results: int, system: str = "Be short.") -> dict:
    """The chat of the tool loop with so many results."""
    messages = [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": [{"type": "text", "text": tasks.LOOP}]})
    for _ in range(results):
        messages += [{"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "1"}]
    return {"tools": [{"type": "function"}], "messages": messages}


class Clients(unittest.TestCase):
    def test_each_has_a_name_a_version_and_a_tool_of_its_own(self):
        every = clients.every()
        self.assertEqual(len({each.name for each in every}), len(every))
        place = client.Place(*[pathlib.Path("x")] * 3, "program", "http://127.0.0.1:1", "model", 1)
        for each in every:
            self.assertRegex(each.package.version, r"^\d+\.\d+", each.name)
            self.assertTrue(each.path.startswith("/"), each.name)
            self.assertTrue(each.once(place, "prompt"), each.name)
            answers = json.dumps(tasks.conversations(each))
            self.assertIn(tasks.FIRST if each.edits("1", "2") else "expr", answers, each.name)

    def test_what_crucible_launch_gives_reaches_the_program(self):
        launched = client.Launched(["--theirs"], {"THEIRS": "http://server"})
        place = client.Place(*[pathlib.Path("x")] * 3, "program", "http://server", "model", 1, launched=launched)
        for each in clients.every():
            if each.launch:
                self.assertEqual(each.environment(place)["THEIRS"], "http://server", each.name)
                self.assertIn("--theirs", each.once(place, "prompt"), each.name)

    def test_the_files_of_others_are_written_into_the_scratch_home(self):
        for each in clients.every():
            if each.connect or each.launch:
                continue
            with tempfile.TemporaryDirectory() as folder:
                home = pathlib.Path(folder)
                place = client.Place(home, home / "work", home, "program", "http://server", "model", 4096)
                each.configure(place)
                told = json.dumps(each.environment(place)) + json.dumps(each.once(place, "prompt"))
                files = [path.read_text() for path in home.rglob("*") if path.is_file()]
                self.assertIn("http://server", told + "".join(files), each.name)


class Turns(unittest.TestCase):
    def test_they_are_told_apart_by_the_results_since_the_prompt(self):
        title = {"messages": loop(0)["messages"]}
        self.assertEqual(sorted(tasks.loop_turns(Heard(title, loop(0), loop(2)))), [0, 2])

    def test_a_changed_message_is_found(self):
        self.assertEqual(tasks.prefix(Heard(loop(0), loop(1), loop(2))), "kept")
        self.assertEqual(tasks.prefix(Heard(loop(0), loop(1, "Be long."))), "message 0 differs")
        self.assertEqual(tasks.prefix(Heard(loop(0))), "")

    def test_a_tool_that_left_no_file_did_not_run(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            place = client.Place(work, work, work, "program", "http://server", "model", 4096)
            heard = Heard(loop(0), loop(1), loop(2))
            self.assertFalse(tasks.tools_ran(heard, place).passed)
            (work / "first.txt").write_text(tasks.FIRST + "\n")
            (work / "second.txt").write_text(tasks.SECOND + "\n")
            self.assertTrue(tasks.tools_ran(heard, place).passed)
            self.assertFalse(tasks.tools_ran(Heard(loop(0)), place).passed)


class Table(unittest.TestCase):
    def test_one_failure_fails_the_row_and_its_note_is_told(self):
        good = report.Row("a", "1.0", "ollama", hi=tasks.Outcome(True))
        bad = report.Row("b", "1.0", "ollama", hi=tasks.Outcome(False, "exit 1: a | b"))
        self.assertEqual((good.failed, bad.failed), (False, True))
        lines = report.table([good, bad]).splitlines()
        self.assertIn("| NO     |", lines[3])
        self.assertTrue(lines[3].endswith(r"| say hi: exit 1: a \| b |"))

    def test_a_screen_is_told_on_one_line_without_frames(self):
        self.assertEqual(terminal.last_words("╭────╮\n│ hi │\n╰────╯\n\n  there  "), "hi / there")


if __name__ == "__main__":
    unittest.main()
