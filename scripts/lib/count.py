"""Counts a JUnit report, as meson and pytest write it: prints "passed failed skipped"."""
import sys
import xml.etree.ElementTree


def main(path):
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    if passed + failed + skipped == 0:
        failed = 1  # a run without a test is no success
    print(passed, failed, skipped)


if __name__ == "__main__":
    main(sys.argv[1])
