# Shortcuts for `.ci/run`, which needs no `just`. A recipe is one step of it; `just` alone lists them.

[private]
default:
    @just --list

# Everything that has to pass before a change is merged
check:
    .ci/run

# Debian packages, Rust's components and the Python client that the tests need
install:
    .ci/run install

# Formatting, without changing a file
format:
    .ci/run format

# Clippy over all targets; a warning is an error
lints:
    .ci/run lints

# Rustdoc, with private items; a broken link is an error
documentation:
    .ci/run documentation

# Circles of files and rooms, arrows that run back up, crates that no code names
structure:
    .ci/run structure

# Syntax of the shell scripts
scripts:
    .ci/run scripts

# The README's first command, as a script would run it
try:
    .ci/run try

# Every test of the workspace
tests:
    .ci/run tests

# The pictures of the live page and the inspector in the docs, drawn by their tests (needs Debian's chromium)
pictures:
    TEST_BROWSER=chromium TEST_PICTURES={{ justfile_directory() }}/docs/images cargo test --package crucible-tests --test e2e page

# Rules, scrape configuration and dashboards
dashboards:
    .ci/run dashboards

# Licences, bans and sources of all dependencies (needs cargo-deny)
dependencies:
    .ci/run dependencies

# A million cases for each property test (hours)
properties cases="1000000":
    tests/properties.sh {{ cases }}

# One fuzz target for a minute (needs cargo-fuzz), as fuzz/README.md says: just fuzz json_splice
fuzz target seconds="60":
    mkdir -p fuzz/grown/{{ target }}
    cargo fuzz run --sanitizer none {{ target }} fuzz/grown/{{ target }} fuzz/corpus/{{ target }} -- -max_total_time={{ seconds }}
