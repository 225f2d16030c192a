# ruff: noqa: E501, RUF001
"""Writes golden/*.json: what llama.cpp makes of the corpus, and what real files say of splitting.

llama-cpp-python takes long to build and transformers long to read a GGUF file, so the tests
compare with what this script wrote:

    pip install llama-cpp-python transformers
    python tests/tokens/make_golden.py smollm2=smollm2.gguf gemma3=gemma3.gguf
    python tests/tokens/make_golden.py qwen2=tokenizer.json llama-bpe=tokenizer.json ...

The second form keeps how a model's own tokenizer.json composes and cuts a text.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"

CORPUS = {
    "empty": "",
    "english": "Preposterous, I'm flabbergasted! The man walked the cat; it's what they've always done.",
    "contractions": "I'LL we'Re don't DON'T ’s can’t 'd 'tis o'clock rock'n'roll",
    "space": " ",
    "two spaces": "  ",
    "leading space": " hello",
    "leading spaces": "   hello",
    "trailing spaces": "hello   ",
    "inner spaces": "a b  c   d    e     f",
    "thirty-three spaces": "x" + " " * 33 + "y",
    "seventy spaces": " " * 70,
    "newlines": "\n",
    "many newlines": "a\n\nb\n\n\nc\n\n\n\n\n\n\n\nd",
    "forty newlines": "\n" * 40,
    "tabs": "\ta\t\tb\t\t\tc" + "\t" * 35,
    "crlf": "one\r\ntwo\r\n\r\nthree\rfour",
    "mixed space": " \n \t\n  \r\n a \n\t b",
    "odd spaces": "a\u00a0b\u2002c\u2003d\u3000e\u200bf\u2028g\u2029h\u0085i\u1680j",
    "python": "def f(x: int) -> str:\n    if x > 0:\n\t\treturn f'{x!r:>10}'  # note\n    return \"\"\n",
    "c": "for (int i = 0; i < n; ++i) { a[i] |= (1u << 31) ^ 0xDEADbeef; } // ok\r\n",
    "html": "<table><tr><td>a&nbsp;b</td></tr></table><h1>T</h1><b>x</b><!-- y --></ul>",
    "json": '{"a": [1, 2.5e-10, null], "b\\n": "\\u00e9"}',
    "url": "https://example.org/a/b?c=d&e=%20f#g_h-i~j",
    "digits": "1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 0x1F 1e9 ٣٤٥ १२३ ½ Ⅷ ²",
    "punctuation": "!!! ??? ... --- ___ ;;; ::: ``` ''' \"\"\" ~~~ @#$%^&*()[]{}|\\/<>=+",
    "german": "Donaudampfschifffahrtsgesellschaftskapitän Fußgänger ẞ ÄÖÜ",
    "french": "Où est l'été ? C’est naïf, « ça va » — d’accord…",
    "vietnamese": "Tiếng Việt rất khó: nghiêng, khuỷu, ngoằn ngoèo",
    "turkish": "İstanbul ılık IĞDIR ğüşöç",
    "greek": "Ὦ ξεῖν’, ἀγγέλλειν Λακεδαιμονίοις σς",
    "russian": "Съешь ещё этих мягких французских булок, да выпей чаю",
    "chinese": "人人生而自由，在尊严和权利上一律平等。龘䶮𠮷",
    "japanese": "すべての人間は、生まれながらにして自由であり、ﾊﾝｶｸ カタカナ",
    "korean": "모든 인간은 태어날 때부터 자유로우며 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. ﷺ ﷽",
    "hebrew": "כָּל בְּנֵי הָאָדָם נוֹלְדוּ בְּנֵי חוֹרִין",
    "hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में क्षत्रिय",
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน",
    "tamil": "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே",
    "scripts": "ქართული հայերեն አማርኛ ខ្មែរ မြန်မာ བོད་ སිංහල ᏣᎳᎩ ᚠᚢᚦ 𐎀𐎁 ꦗꦮ 𞤀𞤣 ߒߞߏ",
    "emoji": "👍 🤦🏼‍♂️ 👨‍👩‍👧‍👦 🏳️‍🌈 🇪🇺🇯🇵 1️⃣ ☃︎ ❤️ 🫠",
    "emoji run": "😀😃😄😁😆😅🤣😂" * 3,
    "combining": "e\u0301 a\u030a\u0323 n\u0303 o\u0308\u0304 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d",
    "composed": "\u00e9 \u00e5\u0323 \u00f1 \u1e69 s\u0323\u0307 s\u0307\u0323 \u212b \u2126 \ufb01",
    "jamo": "\uac00 \u1100\u1161 \u1100\u1161\u11a8",
    "maths": "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋ ∑₀ⁿ 𝔹𝓪𝕔 𝟘𝟙 ≠≈±×÷√∞",
    "boxes": "┌─┐│█▓▒░└─┘ ▁▂▃▄ ←↑→↓ ★☆ ©®™ €£¥₿",
    "underline piece": "a▁b ▁▁ ▁c",
    "rtl marks": "abc\u200fdef\u200e \u202eghi\u202c \u2066j\u2069 \ufeffk",
    "controls": "a\x01b\x02\x07\x08\x0b\x0c\x1b[0m\x7f\x80\x9f",
    "null": "a\x00b\x00\x00",
    "replacement": "\ufffd \ufffd\ufffd a\ufffdb",
    "noncharacters": "\uffff \ufdd0 \U0001ffff \U0010ffff \ue000 \U000f0000",
    "planes": "\U0001d4d0 \U0002a6d6 \U00030000 \U000e0041 \U000e0100 \U00011000 \U0001b000",
    "long word": "pneumonoultramicroscopicsilicovolcanoconiosis" * 6,
    "repeats": "a" * 100 + "b" * 31 + "=" * 65 + "-" * 17 + "." * 9,
    "zalgo": "t\u0334\u0353\u035eh\u0337\u0321\u0308i\u0338\u0325\u0346s",
    "chat": "<|im_start|>user\nhi<|im_end|>\n<start_of_turn>model\n<end_of_turn><bos><eos><s></s>",
    "special alone": "<|endoftext|>",
    "special in words": "x<|im_end|>y <eos>z<unused3> <unk> <pad> <mask> <0x0A> [INST]",
    "special spaced": " <|im_end|> \n<end_of_turn> ",
    "user-defined": "[multimodal] <h2>a</h2> <start_of_image>",
    "shouting": "HELLO WoRLD iPhone McDonald's XMLHttpRequest snake_case camelCase",
    "digits next to letters": "x12y 3a4 5\u0301 ７８ \u0bf0\u0bf1 H2O2",
    "sentence": "Dr. Smith paid $3.50 (approx. €3,20) on 2024-02-29 at 10:05 p.m.\n\n- item\n  * sub\n",
}


def llama_cpp(name: str, path: str) -> dict[str, Any]:
    """Ids of every text, with special-token text as text and as tokens."""
    import llama_cpp  # type: ignore[import-not-found]

    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    return {
        "model": name,
        "library": f"llama-cpp-python {llama_cpp.__version__}",
        "add_bos": list(model.tokenize(b"a", add_bos=True))
        != list(model.tokenize(b"a", add_bos=False)),
        "text": {k: model.tokenize(t.encode(), add_bos=False) for k, t in CORPUS.items()},
        "special": {
            k: model.tokenize(t.encode(), add_bos=False, special=True) for k, t in CORPUS.items()
        },
    }


def transformers_differs(path: str, ids: dict[str, Any]) -> dict[str, Any]:
    """What transformers makes of the same file, where that is something else."""
    import transformers

    folder, file = str(Path(path).parent), Path(path).name
    loaded = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    inner = loaded.backend_tokenizer
    found: dict[str, Any] = {"library": f"transformers {transformers.__version__}"}
    for part, as_text in (("text", True), ("special", False)):
        inner.encode_special_tokens = as_text
        mine = {k: inner.encode(t, add_special_tokens=False).ids for k, t in CORPUS.items()}
        found[part] = {k: v for k, v in mine.items() if v != ids[part][k]}
    return found


def words(path: str) -> dict[str, Any]:
    """How a tokenizer.json cuts the corpus into words, bytes as letters."""
    import tokenizers

    loaded = tokenizers.Tokenizer.from_file(path)
    composed = loaded.normalizer.normalize_str if loaded.normalizer else str
    cut = loaded.pre_tokenizer.pre_tokenize_str
    return {k: [word for word, _ in cut(composed(t))] for k, t in CORPUS.items()}


def write(name: str, value: object) -> None:
    text = json.dumps(value, indent=0, separators=(",", ":"))
    (GOLDEN / f"{name}.json").write_text(text.replace(",\n", ",").replace("[\n", "["), "ascii")


if __name__ == "__main__":
    write("corpus", CORPUS)
    for pair in sys.argv[1:]:
        name, file = pair.split("=", 1)
        if file.endswith(".gguf"):
            golden = llama_cpp(name, file)
            write(name, golden | {"transformers": transformers_differs(file, golden)})
        else:
            write(f"words-{name}", words(file))
