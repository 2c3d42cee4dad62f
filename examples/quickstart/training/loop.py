"""One training loop for both models: answer tokens only, batches of like length, an end by CPU time.

Logits are computed for answer tokens alone; with a vocabulary of 49,152 that saves a fifth of the work.
Sequences are padded on the right and attention is causal, so padding needs no mask.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from tasks.items import Item
from training.team import Team


@dataclass(frozen=True)
class Lesson:
    """Token ids of one conversation; the answer starts at `answer_at`."""

    ids: tuple[int, ...]
    answer_at: int


@dataclass(frozen=True)
class Schedule:
    learning_rate: float
    cpu_seconds: float
    """Of each worker: its own time, which a busy machine does not shorten."""
    warmup_steps: int = 50
    weight_decay: float = 0.01
    log_every: int = 25


def encoded(item: Item, tokenizer: PreTrainedTokenizerBase) -> Lesson:
    prompt = tokenizer.apply_chat_template(item.messages, tokenize=False, add_generation_prompt=True)
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    answer_ids = tokenizer.encode(item.expected[0], add_special_tokens=False)
    return Lesson((*prompt_ids, *answer_ids, tokenizer.eos_token_id), len(prompt_ids))


def batches(items: Sequence[Item], characters_each: int, rng: Random, pool: int = 1024) -> list[list[Item]]:
    """Return batches of like length in the order given, sorting only within a pool."""
    ordered: list[list[Item]] = []
    for start in range(0, len(items), pool):
        made: list[list[Item]] = [[]]
        for item in sorted(items[start : start + pool], key=_length):
            if made[-1] and (len(made[-1]) + 1) * _length(item) > characters_each:
                made.append([])
            made[-1].append(item)
        rng.shuffle(made)
        ordered += made
    return ordered


def _length(item: Item) -> int:
    return len(item.prompt) + len(item.expected[0])


def answer_loss(model: Any, tokenizer: PreTrainedTokenizerBase, batch: list[Item]) -> Tensor:
    lessons = [encoded(item, tokenizer) for item in batch]
    width = max(len(lesson.ids) for lesson in lessons)
    ids = torch.zeros(len(lessons), width, dtype=torch.long)
    rows, columns, targets = [], [], []
    for row, lesson in enumerate(lessons):
        ids[row, : len(lesson.ids)] = torch.tensor(lesson.ids)
        for position in range(lesson.answer_at, len(lesson.ids)):
            rows.append(row)
            columns.append(position - 1)
            targets.append(lesson.ids[position])
    states = model.model(ids).last_hidden_state[rows, columns]
    return cross_entropy(model.lm_head(states).float(), torch.tensor(targets))


class MasterWeights:
    """Adam on float32 copies, because an update of 1e-3 is lost in the eight bits of a bfloat16 weight."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], schedule: Schedule) -> None:
        self.live = [parameter for parameter in parameters if parameter.requires_grad]
        self.copies = [parameter.detach().float().clone() for parameter in self.live]
        self.optimiser = torch.optim.AdamW(
            self.copies, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.98)
        )

    def gradients(self) -> list[Tensor]:
        """Move the gradients to the copies and return them."""
        for live, copy in zip(self.live, self.copies, strict=True):
            copy.grad = torch.zeros_like(copy) if live.grad is None else live.grad.float()
            live.grad = None
        return [copy.grad for copy in self.copies if copy.grad is not None]

    def step(self, learning_rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.copies, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.step()
        with torch.no_grad():
            for live, copy in zip(self.live, self.copies, strict=True):
                live.copy_(copy)


@dataclass
class Diary:
    """The training log: a line every so many steps, flushed, since a training is watched while it runs."""

    path: Path
    steps: int
    every: int
    items: int = 0
    losses: list[float] = field(default_factory=list)

    def note(self, step: int, elapsed: float, rate: float, loss: float, items: int) -> None:
        self.items += items
        self.losses.append(loss)
        if step % self.every == 0:
            mean = sum(self.losses) / len(self.losses)
            self.losses.clear()
            progress = f"step {step}/{self.steps} items {self.items} cpu-seconds {elapsed:.0f}"
            self._write(f"{progress} rate {rate:.2e} loss {mean:.4f}")

    def close(self, elapsed: float) -> None:
        self._write(f"done: {self.items} items, {elapsed:.0f} CPU seconds of each worker")

    def _write(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")


def train(
    loss_of: Callable[[list[Item]], Tensor],
    weights: MasterWeights,
    plan: list[list[Item]],
    schedule: Schedule,
    team: Team,
    log: Path,
) -> None:
    """Go through the plan once, or as far as the clock allows; the rate falls to zero by then."""
    started, elapsed = time.process_time(), 0.0
    steps = len(plan) // team.size
    diary = Diary(log, steps, schedule.log_every)
    for step in range(steps):
        progress = max(step / steps, elapsed / schedule.cpu_seconds)
        if progress >= 1:
            break
        batch = plan[step * team.size + team.rank]
        loss = loss_of(batch)
        loss.backward()
        elapsed = team.average(weights.gradients(), time.process_time() - started)
        rate = schedule.learning_rate * min(1.0, (step + 1) / schedule.warmup_steps) * (1 - progress)
        weights.step(rate)
        if team.rank == 0:
            diary.note(step + 1, elapsed, rate, float(loss.detach()), team.size * len(batch))
    if team.rank == 0:
        diary.close(elapsed)
