"""Train desk-s: a Llama of 1.2 M parameters with a vocabulary of its own, from scratch, on one core."""

import argparse
from functools import partial
from pathlib import Path
from random import Random

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tasks.items import Item
from training.lessons import Mix, lessons
from training.loop import MasterWeights, Schedule, answer_loss, batches, train
from training.team import Team, as_team

HERE = Path(__file__).parent.parent
SEED = 7
VOCABULARY = 3072
TOKENIZER_SAMPLE = 40_000
CONTROL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MIX = Mix(bank=40_000, payments=120_000, dates=60_000)
CHARACTERS_A_BATCH = 700  # for each worker, some 250 tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "models" / "desk-s")
    parser.add_argument("--cpu-minutes", type=float, default=8)
    parser.add_argument("--workers", type=int, default=3)
    args = parser.parse_args()
    as_team(partial(teach, args.out, args.cpu_minutes * 60), args.workers)


def teach(out: Path, cpu_seconds: float, team: Team) -> None:
    torch.manual_seed(SEED)
    items = lessons(MIX, SEED)
    tokenizer = own_tokenizer(items)
    model = LlamaForCausalLM(shape(tokenizer))
    schedule = Schedule(learning_rate=1.5e-3, cpu_seconds=cpu_seconds, warmup_steps=200, log_every=100)
    out.mkdir(parents=True, exist_ok=True)
    (out / "train.log").unlink(missing_ok=True)
    train(
        lambda batch: answer_loss(model, tokenizer, batch),
        MasterWeights(model.parameters(), schedule),
        batches(items, CHARACTERS_A_BATCH, Random(SEED)),
        schedule,
        team,
        out / "train.log",
    )
    if team.rank == 0:
        model.to(torch.bfloat16).save_pretrained(out)
        tokenizer.save_pretrained(out)
        name_tokenizer_class(out / "tokenizer_config.json")


def own_tokenizer(items: list[Item]) -> PreTrainedTokenizerFast:
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # A space is a token: a payee then has the same tokens in the request and behind JSON's quote.
            pre_tokenizers.Split(" ", "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    built.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, normalized=False) for token in CONTROL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = items[:TOKENIZER_SAMPLE]
    built.train_from_iterator((text for item in sample for text in (item.prompt, item.expected[0])), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=built, eos_token=CONTROL[0], pad_token=CONTROL[0], model_max_length=1024
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def name_tokenizer_class(config: Path) -> None:
    """Transformers 5 writes a name of its own that older readers do not know."""
    config.write_text(config.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))


def shape(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        initializer_range=0.06,  # 0.02 is for widths of thousands; here it delays learning to copy
        head_dim=32,  # the smallest that vLLM's CPU attention takes
        max_position_embeddings=1024,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )


if __name__ == "__main__":
    main()
