"""`make demo`: serve the quickstart, ask it 40 questions live, and show in numbers what that saved."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import portfolio
import setup
from analysis.strategies import climb
from analysis.table import Report, Row, gain_sentence, lead, points, report
from asking import Heard, Portfolio
from choose import bank_doubt, bank_sentence
from evidence import Evidence, evidence, is_recorded
from serving import started
from tasks import evaluation
from tasks.grade import is_right
from tasks.items import Item, Split, Task

SHOWN_PER_TASK = 8
NAMES = {
    Task.BANK: "A bank intent",
    Task.PAYMENT: "B payment",
    Task.DATE: "C date",
    Task.FACTS: "D facts",
    Task.GENERAL: "E general",
}


@dataclass(frozen=True)
class Live:
    """One live answer, beside who should have answered what by the committed matrix, where there is one."""

    item: Item
    heard: Heard
    right: bool
    expected: tuple[str, str] | None

    @property
    def agrees(self) -> bool:
        return self.expected == (self.heard.model, self.heard.text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", help="a quickstart portfolio that runs already")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    console = Console()
    found = evidence() if is_recorded() else None
    with _running(args.base_url, args.port, console) as url:
        lives = [show_live(console, live) for live in asked_live(Portfolio(url), found)]
        console.print(right_sentence(lives))
        if found is None:
            console.print("There is no response matrix, so no table: `make quickstart-matrix` makes it.\n")
        else:
            console.print(
                agreement_sentence(lives, same_docs=found.about["docs"] == setup.handbook_digest()), "\n"
            )
            show_table(console, found)
        show_next_steps(console, url)


@contextmanager
def _running(base_url: str | None, port: int, console: Console) -> Iterator[str]:
    if base_url:
        yield base_url
        return
    models = setup.prepare(console.print)
    yield started(portfolio.FILE, models, setup.WORK / "state", port)


def shown_items(items: Sequence[Item]) -> list[Item]:
    """Return eight of each task, evenly spread over its items, so that easy and hard ones are among them."""
    chosen = []
    for task in NAMES:
        of_task = [item for item in items if item.task is task]
        chosen += [of_task[number * len(of_task) // SHOWN_PER_TASK] for number in range(SHOWN_PER_TASK)]
    return chosen


def asked_live(client: Portfolio, found: Evidence | None) -> Iterator[Live]:
    items = found.test.items if found else test_items()
    for item in shown_items(items):
        heard = client.ask(item)
        expected = _expected(item, found) if found else None
        yield Live(item, heard, is_right(item, heard.text, refused=heard.refused), expected)


def test_items() -> list[Item]:
    return [item for item in evaluation.evaluation_items() if item.split is Split.TEST]


def _expected(item: Item, found: Evidence) -> tuple[str, str]:
    ladder = portfolio.ladders(portfolio.policy())[found.intents[item.id]]
    row = next(number for number, each in enumerate(found.test.items) if each.id == item.id)
    _, column = climb(found.test, row, ladder)
    if column < 0:
        return "", ""
    model = found.test.models[column]
    return model, found.replies[item.id, model].answer


def show_live(console: Console, live: Live) -> Live:
    heard = live.heard
    mark = "[green]right[/]" if live.right else "[red]wrong[/]"
    who = "refused" if heard.refused else f"{heard.model} (rung {heard.rung + 1})"
    sure = "not judged" if heard.confidence is None else f"sure {heard.confidence:.2f}"
    console.print(f"[bold]{NAMES[live.item.task]:14}[/] {_short(live.item.prompt, 88)}", highlight=False)
    console.print(
        f"    {mark}  {_short(heard.error or heard.text or heard.reason, 60)}\n"
        f"    [dim]{who}, {sure}, {heard.seconds * 1000:.0f} ms, "
        f"{heard.usd * 1000:.6f} USD per 1000[/]",
        highlight=False,
    )
    return live


def right_sentence(lives: Sequence[Live]) -> str:
    return f"{sum(live.right for live in lives)} of {len(lives)} live answers are right."


def agreement_sentence(lives: Sequence[Live], *, same_docs: bool) -> str:
    agreed = sum(live.agrees for live in lives)
    said = f"{agreed} of {len(lives)} live answers are word for word those of the committed matrix."
    if same_docs:
        return said
    return f"{said} docs/ has changed since it was made, so the handbook may quote other passages."


def show_table(console: Console, found: Evidence) -> None:
    ladders = portfolio.ladders(portfolio.policy())
    made = report(found.test, found.validation, ladders, portfolio.LARGEST)
    console.print(_qualities(made, found), _costs(made))
    console.print(_shares(made))
    console.print(gain_sentence(made.gain), bank_sentence(bank_doubt(found)), sep="\n")
    about = found.about
    console.print(
        f"[dim]Answers of {about['date']} on {about['machine']}. USD: {about['usd']}.[/]\n", highlight=False
    )


def _qualities(made: Report, found: Evidence) -> Table:
    title = f"{len(found.test.items)} held-out items, answered by the running engines"
    table = _table(title, "strategy", "right %", "95 % interval", "portfolio ahead by")
    for row in made.rows:
        behind = lead(row.behind) if row.behind else ""
        quality = f"{points(row.quality.low)} to {points(row.quality.high)}"
        table.add_row(row.name, points(row.quality.value), quality, behind, style=_style(row))
    return table


def _costs(made: Report) -> Table:
    table = _table("what that took, a query", "strategy", "CPU ms", "USD/1000", "p50 ms", "p95 ms")
    for row in made.rows:
        latency = (f"{row.latency_p50_ms:.0f}", f"{row.latency_p95_ms:.0f}")
        cost = (f"{row.cpu_ms_per_query:.1f}", f"{row.usd_per_1000:.5f}")
        table.add_row(row.name, *cost, *latency, style=_style(row))
    return table


def _table(title: str, first: str, *figures: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _style(row: Row) -> str | None:
    return "bold" if row.behind is None else None


def _shares(made: Report) -> Table:
    table = _table("who answered in the portfolio", "task", "share of its items")
    for task, shares in made.answered_by.items():
        listed = ", ".join(f"{model} {share:.0%}" for model, share in shares.items())
        table.add_row(NAMES[Task(task)], listed)
    return table


def show_next_steps(console: Console, url: str) -> None:
    console.print(
        NEXT_STEPS.format(url=url, file=Path("examples/quickstart/modelportfolio.yaml")),
        highlight=False,
        soft_wrap=True,  # commands are copied
    )


NEXT_STEPS = """[bold]It still runs. Talk to it[/]
  .venv/bin/folio chat "I lost my card" --state-dir .folio/quickstart/state
  curl {url}/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "folio", "messages": [{{"role": "user", "content": "To ISO: a fortnight"}}]}}'

  from openai import OpenAI
  OpenAI(base_url="{url}", api_key="none").chat.completions.create(
      model="folio", messages=[{{"role": "user", "content": "I lost my card"}}])

  from langchain_openai import ChatOpenAI
  ChatOpenAI(base_url="{url}", api_key="none", model="folio").invoke("I lost my card")

[bold]Edit the policy live[/]: change a threshold in {file}, then
  .venv/bin/folio plan -f {file} --state-dir .folio/quickstart/state
  .venv/bin/folio up   -f {file} --state-dir .folio/quickstart/state
and stop it all with
  .venv/bin/folio down --state-dir .folio/quickstart/state
"""


def _short(text: str, characters: int) -> str:
    line = " ".join(text.split()).replace("[", "\\[")
    return line if len(line) <= characters else line[: characters - 3] + "..."


if __name__ == "__main__":
    main()
