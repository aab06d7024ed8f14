"""Checks that each entry of the table is exercised by the conformance tests named for it.

covered_calls.txt has a line "call SUITE.TEST ..." for each entry. The tests are run in a build of
the conformance suite that counts the table's calls; a test that is named for a call, exists, passes
and does not make it is a failure, and so is an entry without a line.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile


def read_list(path):
    wanted = collections.OrderedDict()
    with open(path) as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if words:
                wanted[words[0]] = words[1:]
    return wanted


def run(program, tests):
    """Returns the table's calls, and for each test that passed the set of those it made."""
    # A test with parameters has a prefix and a number around its name.
    patterns = ":".join(p for t in tests for p in (t, "*/" + t + "/*"))
    with tempfile.TemporaryDirectory() as directory:
        counts = os.path.join(directory, "counts")
        environment = dict(os.environ, BOBBIN_CALL_COUNTS=counts, BOBBIN_SCHEDULERS="1")
        done = subprocess.run([program, "--gtest_filter=" + patterns], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + "\nthe tests named do not all pass")
        table, made = [], collections.defaultdict(set)
        with open(counts) as lines:
            for line in lines:
                words = line.split()
                if words[0] == "TABLE":
                    table = words[1:]
                    continue
                name = re.sub(r"/\d+$", "", words[0]).split("/")[-1]
                made[name] |= set(words[1:])
        return table, made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--list", required=True)
    arguments = parser.parse_args()
    wanted = read_list(arguments.list)
    table, made = run(arguments.program, sorted({t for tests in wanted.values() for t in tests}))
    problems = []
    for call in table:
        if not wanted.get(call):
            problems.append(f"{call} is in the table and no test is named for it")
    for call, tests in wanted.items():
        if call not in table:
            problems.append(f"{call} is in the list and not in the table")
            continue
        for test in tests:
            if test not in made:
                problems.append(f"{test}, named for {call}, does not exist")
            elif call not in made[test]:
                problems.append(f"{test} does not make {call}, for which it is named")
    for problem in problems:
        print(problem)
    print(f"{len(table)} calls, {len(made)} tests, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
