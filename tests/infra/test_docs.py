"""The pages lead somewhere, what they tell to type exists, and the examples for producers carry their events."""

import tempfile
import unittest
from pathlib import Path

import commands
import examples
import metric_names
import pages

PRODUCERS = pages.ROOT / "docs/producers.md"
# What the examples of that page send: 200 approvals, 120 logins, and two backups.
EVENTS = {"python": 200, "js": 120, "sh": 2}
# What docs/sizing.md quotes, and the page that says how it was measured or counted.
MEASURED = {
    "README.md": ["29,700", "50,300", "54,900", "56 to 92", "79 MB", "81 MB", "86 MB", "9,482", "9,920"],
    "docs/cost.md": ["289 bytes", "23 events"],
    "docs/ledgers.md": ["about 350 bytes"],
}


class Links(unittest.TestCase):
    def test_every_link_leads_to_a_file_and_a_heading(self) -> None:
        for page in pages.PAGES:
            with self.subTest(page.relative_to(pages.ROOT)):
                self.assertEqual([], pages.broken(page, page.read_text()))

    def test_every_page_can_be_found_from_the_front(self) -> None:
        found = pages.reachable(pages.ROOTS)
        wanted = {page for page in pages.PAGES if (pages.ROOT / "docs") in page.parents}
        self.assertEqual(set(), {str(page.relative_to(pages.ROOT)) for page in wanted - found})

    def test_planted_faults_are_found(self) -> None:
        page = pages.ROOT / "docs/README.md"
        for link in ("absent.md", "routes.md#absent", "#absent", "../../outside.md"):
            with self.subTest(link):
                self.assertEqual(1, len(pages.broken(page, f"# Here\n[there]({link})\n")))
        for text in ("[here](#here-and-there)", "`[there](absent.md)`", "```sh\n[there](absent.md)\n```", "[a](https://b)"):
            with self.subTest(text):
                self.assertEqual([], pages.broken(page, f"# `Here`, and there\n{text}\n"))

    def test_headings_have_the_names_that_github_gives_them(self) -> None:
        text = "# What's `in` it?\n## Same\n## Same\n## [Linked](there.md): a_b – c\n```sh\n# no heading\n```\n"
        self.assertEqual({"whats-in-it", "same", "same-1", "linked-a_b--c"}, pages.anchors(text))


class Told(unittest.TestCase):
    def test_commands_options_variables_and_names_of_the_stack_exist(self) -> None:
        for page in pages.PAGES:
            with self.subTest(page.relative_to(pages.ROOT)):
                self.assertEqual([], commands.complaints(page.read_text()))

    def test_planted_faults_are_found(self) -> None:
        for line in (
            "tributary absent",
            "tributary run --conf x.toml",
            "gunzip -c x.gz | tributary enqueue - --absent",
            "tributary ledger get order-42 --absent",
            "aws cloudformation deploy --parameter-overrides ChannelArn=a Absent=b",
            "aws cloudformation describe-stacks --query \"Stacks[0].Outputs[?OutputKey=='Absent']\"",
            "export TRIBUTARY_ABSENT=1",
        ):
            with self.subTest(line):
                self.assertEqual(1, len(commands.complaints(f"```sh\n{line}\n```\n")))

    def test_every_metric_exists(self) -> None:
        known = metric_names.exported()
        for page in pages.PAGES:
            text = page.read_text()
            named = {name for name in commands.metrics(text) if name not in known}
            with self.subTest(page.relative_to(pages.ROOT)):
                self.assertEqual(set(), named)

    def test_what_was_measured_is_said_alike_everywhere(self) -> None:
        sizing = (pages.ROOT / "docs/sizing.md").read_text()
        for page, numbers in MEASURED.items():
            said = (pages.ROOT / page).read_text()
            for number in numbers:
                with self.subTest(number):
                    self.assertIn(number, sizing)
                    self.assertIn(number, said)


class Examples(unittest.TestCase):
    def test_the_examples_send_each_event_and_sending_all_again_adds_none(self) -> None:
        programs = examples.programs(PRODUCERS.read_text())
        self.assertEqual(set(EVENTS), set(programs))
        with tempfile.TemporaryDirectory() as name, examples.local() as environment:
            with examples.worker(environment):
                for time in ("once", "again"):
                    for language, program in programs.items():
                        examples.run(language, program, Path(name), environment)
                    total = sum(EVENTS.values())
                    with self.subTest(time):
                        held = {"stored": total, "different": total, "dead letters": 0}
                        self.assertEqual(held, examples.settled(environment))
