"""Tests of the counting: python3 -m unittest discover tests/structure"""

import os
import tempfile
import unittest

import modules
import rust


def crate(files):
    """A crate of these files, and the folder that keeps them until the test ends."""
    folder = tempfile.TemporaryDirectory()
    for name, text in files.items():
        path = os.path.join(folder.name, "a", "src", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as opened:
            opened.write(text)
    return modules.Crate(folder.name, "a", "a"), folder


def arrows(files):
    read, folder = crate(files)
    with folder:
        return sorted((a.removeprefix("a/src/"), b.removeprefix("a/src/")) for a, b in read.arrows())


class Reading(unittest.TestCase):
    def test_comments_and_literals_are_no_code(self):
        text = "a // crate::b\n/* x /* y */ z */ 'c' '\\'' \"crate::d // \\\"\" r#\"e \" f\"# <'a> g"
        uncommented, code = rust.split(text)
        self.assertEqual(code.split(), ["a", "<'a>", "g"])
        self.assertIn("crate::d", uncommented)
        self.assertNotIn("crate::b", uncommented)
        self.assertEqual(len(code), len(text))

    def test_items_of_tests_are_dropped_and_nothing_else(self):
        code = (
            "fn a() {}\n#[cfg(test)]\n#[x]\nmod tests { fn b() { {} } }\n#[cfg(test)] use c::{d, e};\n"
            "#[cfg(any(test, fuzzing))]\npub mod fuzz;\n"
            "struct S { #[cfg(test)] f: u8, g: u8 }\n#[cfg(not(test))] fn h() {}\n"
        )
        left = rust.without(code, rust.test_spans(code)).split()
        self.assertEqual("".join(left), "fna(){}structS{g:u8}#[cfg(not(test))]fnh(){}")

    def test_functions_have_their_lines(self):
        code = "fn a(x: [u8; 2]) -> u8 {\n  {}\n}\ntrait T { fn b(); fn c() {} }\n"
        self.assertEqual([(f.name, f.lines) for f in rust.functions(code)], [("a", 3), ("c", 1)])

    def test_a_table_is_a_list_of_data_and_no_list_of_steps(self):
        rows = "\n".join(f"    (a{n}, [1, 2])," for n in range(4))
        steps = "\n".join(f"    {{ a{n}(); }}," for n in range(4))
        code = f"fn a() {{\n  for x in [\n{rows}\n  ] {{ f(x[0]) }}\n  let y = [\n{steps}\n  ];\n  let z = [\n1,\n2];\n}}\n"
        self.assertEqual([(f.lines, f.table_lines) for f in rust.functions(code)], [(17, 5)])

    def test_patterns_of_a_match_are_those_of_its_own_arms(self):
        code = "match kind { K::A | K::B if x => match y { _ => 1 }, K::C { .. } => { _ } _ => f(a, b), }"
        self.assertIn(["K::A | K::B if x", "K::C { .. }", "_"], list(rust.arms(code)))

    def test_words_of_documentation_are_counted_without_examples(self):
        text = "/// Two words.\n/// ```\n/// let x = 1;\n/// ```\n/// ```text\n/// no\n/// ```\nfn a() {}\n//// no\n"
        blocks = list(rust.doc_blocks(text))
        self.assertEqual([(block.words, block.examples) for block in blocks], [(["Two", "words."], 1)])


class Arrows(unittest.TestCase):
    def test_a_path_leads_to_the_file_that_defines_its_name(self):
        found = arrows({
            "lib.rs": "mod a; mod b; pub use b::Thing;",
            "a.rs": "use crate::{Thing, b::{self, c as d}}; fn f() { b::inner::g(); other::h(); }",
            "b/mod.rs": "mod inner; pub use self::inner::Thing; pub fn c() {}",
            "b/inner.rs": "pub struct Thing; pub fn g() {}",
        })
        self.assertEqual(found, [("a.rs", "b/inner.rs"), ("a.rs", "b/mod.rs")])

    def test_what_tests_name_is_no_arrow(self):
        files = {"lib.rs": "mod a; mod b;", "b.rs": "pub struct B;"}
        self.assertEqual(arrows({**files, "a.rs": "#[cfg(test)] mod tests { use crate::b::B; }"}), [])
        self.assertEqual(arrows({**files, "a.rs": "mod c { use crate::b::B; }"}), [("a.rs", "b.rs")])

    def test_circles_are_found_whole(self):
        found = modules.circles({(1, 2), (2, 3), (3, 1), (3, 4), (5, 6), (6, 5), (7, 7)})
        self.assertEqual(found, [[1, 2, 3], [5, 6]])

    def test_the_fewest_arrows_that_run_back_are_named(self):
        between = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a"), ("c", "d")]
        self.assertEqual(modules.best_order(between), [("c", "a")])
        self.assertEqual(modules.back_arrows(["a", "b", "c"], [("a", "b"), ("c", "b")]), [("c", "b")])


if __name__ == "__main__":
    unittest.main()
