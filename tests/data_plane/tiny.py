"""Tiny models with random but fixed weights: real architectures that load in no time and whose answers mean nothing.

Made by the tests that serve them, so that no weights are carried. `python -m tests.data_plane.tiny DIR` makes them by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 7
HIDDEN, LAYERS, HEADS, HEAD_DIM, VOCABULARY = (
    64,
    2,
    4,
    32,
    1024,
)  # a head_dim of 16 loads and then dies on the CPU
SPECIALS = ("<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>")
CHAT_TEMPLATE = (
    "<s>{% for m in messages %}<|{{ m.role }}|>{{ m.content if m.content else m.tool_calls | tojson }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SENTENCES = (
    "Large models answer slowly and small models answer fast.",
    "Ask the smallest model first; ask a larger one when the answer is not good enough.",
    'A tool call is JSON: {"name": "weather", "arguments": {"city": "Oslo", "days": 3}}.',
    "The quick brown fox jumps over the lazy dog, 0123456789 times: naïve café, 東京, привет, 🙂.",
)


def make_model(directory: Path) -> Path:
    """Write a Llama of some 150,000 parameters with a tokenizer and a chat template; return its directory."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_DIM,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=SPECIALS.index("<s>"),
        eos_token_id=SPECIALS.index("</s>"),
        pad_token_id=SPECIALS.index("<pad>"),
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    _write_tokenizer(directory)
    return directory


def make_adapter(directory: Path, *, rank: int = 4, seed: int = SEED) -> Path:
    """Write a LoRA adapter whose weights are not zero, so that its answers differ from the base model's."""
    generator = torch.Generator().manual_seed(seed)
    directory.mkdir(parents=True, exist_ok=True)
    wide = HEADS * HEAD_DIM
    tensors = {}
    for layer in range(LAYERS):
        for module, outputs in (("q_proj", wide), ("v_proj", wide)):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, HIDDEN, generator=generator)
            tensors[f"{prefix}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
    }
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=1))
    return directory


def _write_tokenizer(directory: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 24,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": 2048,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(make_model(target / "tiny"), make_adapter(target / "tiny-lora"))
