"""A language model so small that it is trained in seconds: it learned a few answers by heart and nothing else.

It is a real Llama with a real tokenizer, in a folder that transformers' own classes load.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CONTEXT = 512

# It sees the last message alone: the instructions before it would not fit into so small a mind.
TEMPLATE = "{{ bos_token }}{{ messages[-1]['content'] }}\nAnswer"


def save_tiny_llm(folder: Path, answers: Mapping[str, str], *, steps: int = 300) -> None:
    """Trains a model that answers each of these messages with its text, and saves it; RuntimeError if it did not."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [f"{question}\nAnswer{answer}" for question, answer in answers.items()]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=640, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=CONTEXT
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    batch = tokenizer([f"<s>{text}</s>" for text in texts], return_tensors="pt", padding=True)
    ids, attended = batch["input_ids"], batch["attention_mask"]
    labels = ids.masked_fill(attended == 0, -100)
    known = min(len(tokenizer(f"<s>{question}")["input_ids"]) for question in answers)
    learned = labels[:, known + 1 :] != -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    for _ in range(steps):
        said = model(input_ids=ids, attention_mask=attended, labels=labels)
        if torch.equal(said.logits[:, known:-1].argmax(-1)[learned], labels[:, known + 1 :][learned]):
            break
        optimizer.zero_grad()
        said.loss.backward()
        optimizer.step()
    else:
        raise RuntimeError(f"the tiny language model did not learn its answers in {steps} steps")
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
