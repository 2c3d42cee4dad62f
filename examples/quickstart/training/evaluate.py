"""Ask a trained model the held-out items by plain greedy generation, before any engine serves it."""

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.evaluation import trained_task_items
from tasks.grade import is_right
from tasks.items import Item, Task

LONGEST_ANSWER = {Task.BANK: 32, Task.PAYMENT: 80, Task.DATE: 20}


@dataclass(frozen=True)
class Generated:
    item: Item
    text: str
    right: bool
    mean: float
    least: float
    """exp of the mean and of the smallest token logprob."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--task", type=Task, action="append", help="default: all that models are trained on")
    parser.add_argument("--wrong", type=int, default=8, help="wrong answers shown for each task")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
    if args.adapter:
        model = PeftModel.from_pretrained(model, str(args.adapter)).merge_and_unload()
    for task in args.task or LONGEST_ANSWER:
        items = sorted((i for i in trained_task_items() if i.task is task), key=lambda item: len(item.prompt))
        groups = [items[start : start + args.batch] for start in range(0, len(items), args.batch)]
        report([found for group in groups for found in generated(model, tokenizer, group)], args.wrong)
        sys.stdout.flush()


@torch.inference_mode()  # type: ignore[untyped-decorator]
def generated(model: Any, tokenizer: Any, items: list[Item]) -> list[Generated]:
    prompts = [
        tokenizer.apply_chat_template(i.messages, tokenize=False, add_generation_prompt=True) for i in items
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    found = model.generate(
        input_ids=inputs.input_ids,
        attention_mask=inputs.attention_mask,
        max_new_tokens=LONGEST_ANSWER[items[0].task],
        do_sample=False,
        pad_token_id=tokenizer.eos_token_id,
        return_dict_in_generate=True,
        output_logits=True,
    )
    chosen = found.sequences[:, inputs.input_ids.shape[1] :]
    logits = torch.stack(found.logits, dim=1).float().log_softmax(dim=-1)
    logprobs = logits.gather(2, chosen.unsqueeze(2)).squeeze(2)
    return [_one(item, ids, row, tokenizer) for item, ids, row in zip(items, chosen, logprobs, strict=True)]


def _one(item: Item, ids: torch.Tensor, logprobs: torch.Tensor, tokenizer: Any) -> Generated:
    ends = (ids == tokenizer.eos_token_id).nonzero()
    length = int(ends[0]) + 1 if len(ends) else len(ids)
    text = tokenizer.decode(ids[:length], skip_special_tokens=True)
    kept = logprobs[:length]
    return Generated(item, text, is_right(item, text), float(kept.mean().exp()), float(kept.min().exp()))


def report(found: list[Generated], wrong: int) -> None:
    groups: dict[str, list[Generated]] = defaultdict(list)
    for one in found:
        groups[f"{one.item.task} {one.item.split} {one.item.kind}"].append(one)
    for name, group in sorted(groups.items()):
        accuracy = sum(one.right for one in group) / len(group)
        aurocs = f"mean {auroc(group, 'mean'):.3f} min {auroc(group, 'least'):.3f}"
        print(f"{name:28} {len(group):4} right {accuracy:.3f} AUROC {aurocs}")
    for one in [one for one in found if not one.right and one.item.split == "val"][:wrong]:
        print(f"   {one.item.prompt!r} -> {one.text!r}, not {one.item.expected[0]!r}")


def auroc(found: list[Generated], signal: str) -> float:
    right = [getattr(one, signal) for one in found if one.right]
    wrong = [getattr(one, signal) for one in found if not one.right]
    pairs = [(r > w) + 0.5 * (r == w) for r in right for w in wrong]
    return sum(pairs) / len(pairs) if pairs else float("nan")


if __name__ == "__main__":
    main()
