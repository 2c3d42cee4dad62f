"""Train desk-l: a LoRA adapter (r = 8) on the dequantised SmolLM2, the same weights that serve it.

Only the upper layers are adapted: the gradient stops there, which saves a fifth of the time and of the file.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.items import Item
from training.lessons import Mix, lessons
from training.loop import MasterWeights, Schedule, answer_loss, batches, train
from training.team import Team, as_team

HERE = Path(__file__).parent.parent
SEED = 8
FIRST_ADAPTED_LAYER, LAYERS = 10, 30
MIX = Mix(bank=2500, payments=3000, dates=4000)
FURTHER = Mix(bank=1200, payments=6000, dates=9000)
"""A second round's lessons: the two tasks that the adapter is for."""
CHARACTERS_A_BATCH = 640  # for each worker, some 240 tokens
ADAPTED = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Round:
    """One training: from nothing, or from the adapter of an earlier one."""

    base: Path
    out: Path
    cpu_seconds: float
    earlier: Path | None

    @property
    def lessons(self) -> list[Item]:
        return lessons(FURTHER, SEED + 1) if self.earlier else lessons(MIX, SEED)

    @property
    def schedule(self) -> Schedule:
        rate = 6e-4 if self.earlier else 1e-3
        return Schedule(rate, self.cpu_seconds, warmup_steps=30, weight_decay=0.0, log_every=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=HERE.parent.parent / ".folio/quickstart/models/general")
    parser.add_argument("--out", type=Path, default=HERE / "models" / "desk-l")
    parser.add_argument(
        "--earlier", type=Path, help="an adapter to go on from, with the second round's lessons"
    )
    parser.add_argument("--cpu-minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=3)
    args = parser.parse_args()
    as_team(partial(teach, Round(args.base, args.out, args.cpu_minutes * 60, args.earlier)), args.workers)


def teach(this: Round, team: Team) -> None:
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(this.base)
    causal = AutoModelForCausalLM.from_pretrained(this.base, dtype=torch.bfloat16)
    model = adapted(causal, this.earlier)
    this.out.mkdir(parents=True, exist_ok=True)
    train(
        lambda batch: answer_loss(causal, tokenizer, batch),
        MasterWeights(model.parameters(), this.schedule),
        batches(this.lessons, CHARACTERS_A_BATCH, Random(SEED)),
        this.schedule,
        team,
        this.out / "train.log",
    )
    if team.rank == 0:
        model.peft_config["default"].base_model_name_or_path = "general"
        model.save_pretrained(this.out)
        (this.out / "README.md").unlink()  # a form that nobody filled in


def adapted(causal: Any, earlier: Path | None) -> PeftModel:
    if earlier is None:
        return get_peft_model(causal, adapter_config(), autocast_adapter_dtype=False)
    return PeftModel.from_pretrained(causal, str(earlier), is_trainable=True, autocast_adapter_dtype=False)


def adapter_config() -> LoraConfig:
    return LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=ADAPTED,
        layers_to_transform=list(range(FIRST_ADAPTED_LAYER, LAYERS)),
        task_type="CAUSAL_LM",
    )


if __name__ == "__main__":
    main()
