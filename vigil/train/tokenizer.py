"""nano's tokenizer: byte-level BPE over the language of the world; common words are one token, and any text fits."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from vigil.model.tokens import SPECIAL_TOKENS, Tokenizer

ROLES = ("system", "user", "assistant", "\n\n")


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Train on texts. Control tokens come first; the alphabet of bytes makes every string encodable."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    library.train_from_iterator((*texts, *ROLES * 4), trainer)
    return Tokenizer(library.to_str())
