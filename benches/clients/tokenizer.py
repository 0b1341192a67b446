"""Writes a tokenizer that needs no model hub into the folder named by the only argument.

A word is a token, and every word has three to five letters: with the space a token is five bytes on the mean, a little more
than in English. `trimtab model-server` counts words of up to eight bytes as one token too, so that lengths in
inference-perf's configuration, in its report and on the servers are the same numbers.
"""

import itertools
import json
import pathlib
import sys

from tokenizers import Tokenizer, models, pre_tokenizers

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
SHAPES = [(CONSONANTS, VOWELS, CONSONANTS), (CONSONANTS, VOWELS, CONSONANTS, VOWELS), (VOWELS, CONSONANTS, VOWELS, CONSONANTS, VOWELS)]
PER_SHAPE = 900


def words():
    for shape in SHAPES:
        every = ["".join(letters) for letters in itertools.product(*shape)]
        step = max(1, len(every) // PER_SHAPE)
        yield from every[::step][:PER_SHAPE]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for word in words():
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 1_000_000,
        "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
