"""Tests of the reading of a run: python3 -m unittest discover tests/rerun"""

import sys
import unittest

import rerun

ONE = """\
     Running e2e/main.rs (target/debug/deps/e2e-1)
test a::ends ... ok
test a::slow has been running for over 60 seconds
test a::hangs has been running for over 60 seconds
test a::slow ... FAILED

failures:

---- a::slow stdout ----
scene: played
\x1b[1mthread\x1b[0m 'a::slow' (12) panicked at tests/e2e/a.rs:1:2:
no answer
--- log of crucible ---
INFO listening

failures:
    a::slow

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s

\x1b[1m\x1b[91merror\x1b[0m: test failed, to rerun pass `-p crucible-tests --test e2e`
\x1b[1m\x1b[91merror\x1b[0m: 1 target failed:
    `-p crucible-tests --test e2e`
"""


class Reading(unittest.TestCase):
    def test_a_failed_test_is_read_with_its_words(self):
        run = rerun.read(ONE)
        self.assertEqual(run.targets, ["-p crucible-tests --test e2e"])
        self.assertEqual(run.failed, ["a::slow"])
        self.assertEqual(run.unfinished, ["a::hangs"])
        words = run.words["a::slow"]
        self.assertEqual(words[1:], ["no answer", "--- log of crucible ---"])
        self.assertIsNone(rerun.again(run))

    def test_other_targets_and_many_failures_are_final(self):
        run = rerun.read(ONE.replace("1 target failed", "2 targets failed") + "    `-p crucible --lib`\n")
        self.assertIn("-p crucible --lib", rerun.again(run))
        run = rerun.read(ONE.replace("test a::ends ... ok", "\n".join(f"test a::t{n} ... FAILED" for n in range(3))))
        self.assertIn("4 tests failed", rerun.again(run))

    def test_what_does_not_compile_or_dies_is_final(self):
        self.assertIn("otherwise", rerun.again(rerun.read("error: could not compile `a`\n")))
        died = ONE.replace("test a::slow ... FAILED\n", "")
        self.assertIn("without a failed test", rerun.again(rerun.read(died)))

    def test_a_run_without_an_end_is_ended(self):
        status, output = rerun.shown([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], 1)
        self.assertEqual((status, output), (None, "begun\n"))


if __name__ == "__main__":
    unittest.main()
