"""The parts of the guides that no table of the code holds."""

from __future__ import annotations

STRUCTURED_OUTPUT = """\
# Structured output

Give `format` a JSON Schema (or 'json' for any object). The answer comes as a checked `value` in structuredContent; what
does not fit is an error with the text as it came.

- Name the fields in the prompt too: the schema restrains the model, it does not tell it what to write.
- Few fields, plain names, `enum` for classes, `required` for all that must be there. Small models fail at deep nesting.
- Give a way out, such as an enum value 'unknown' or a field that may be left out; else something is made up.
- `options={"temperature": 0}` for repeatable answers; `num_predict` must leave room for the whole JSON.
- With a format, thinking is off (or at its lowest level) unless `think` says otherwise.
- Over files: `files`; cite=true adds quotes that are looked up, and `value` still fits your schema.
- For a label, a score or yes/no ollama_decide needs no schema and gives probabilities. For many rows or files
  ollama_batch takes the same `format`; each row's value is checked.

```
ollama_chat(model="llama3.2:3b", prompt="Sender and total of this invoice: ...", options={"temperature": 0},
  format={"type": "object", "properties": {"sender": {"type": "string"}, "total": {"type": "number"}},
          "required": ["sender", "total"]})
```"""

VISION = """\
# Images

`images` of ollama_chat, ollama_generate, ollama_decide and ollama_compare takes paths, base64, data: URIs and, where
the settings allow it, addresses. The model needs the capability 'vision'
(`ollama_list_models(capability="vision")`).

- Files are read by the server: give paths, not bytes, so that the image does not pass through you.
- A folder of images: ollama_batch with a glob as `input`; sorting or checking them: ollama_decide.
- JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, ICO and, where installed, HEIC; turned upright, metadata dropped.
- One question per call works best; small text needs a crop at full size instead of the whole page.
- Models guess what they cannot see: ask for 'unreadable' where something cannot be read, and check numbers.
- Sounds (WAV, MP3) go into `audio`, where the settings offer it, for a model with the capability 'audio'."""

THINKING = """\
# Thinking

A model with the capability 'thinking' first thinks, then answers. `think` takes true, false or a level ('low',
'medium', 'high', 'max') that the model has; `ollama_show_model` lists its thinking levels.

- Left out, the model decides: most think. With a `format` it is off, or at its lowest level where it can't be off.
- Thinking costs tokens and time: false for extraction, classification and rewriting, true for planning and hard
  questions.
- `num_predict` counts thinking too. An answer that was all thinking is the error no_answer: raise it, or think=false.
- `include=["thinking"]` brings the thoughts; they are no answer and may be wrong where the answer is right.
- In a tool loop send the assistant's `thinking` back within messages."""

MODELFILE = """\
# Modelfile

A model of your own is an installed one with a system prompt, options, a template or examples built in. What a Modelfile
says in instructions, ollama_create_model takes as arguments; a whole Modelfile goes into `modelfile`, as text or path.
Built on an installed model it copies no weights, so it takes a second and next to no disk."""

# Instruction, the argument that stands for it, its meaning.
INSTRUCTIONS = (
    ("FROM", "`from`, `path` or `files`", "an installed model, files to upload, or files already on the host"),
    ("SYSTEM", "`system`", "system prompt, used where a call brings none"),
    ("PARAMETER", "`parameters`", "options built in; a call's own options win"),
    ("TEMPLATE", "`template`", "prompt template in Go's notation; leave it out to keep the model's own"),
    ("MESSAGE", "`messages`", "example turns that come before every conversation"),
    ("ADAPTER", "`adapters`", "LoRA files already on the host"),
    ("LICENSE", "`license`", "license texts"),
    ("RENDERER, PARSER, REQUIRES, CAPABILITY", "`more`", "rare fields of newer versions"),
)
WORTH_BUILDING_IN = ("temperature", "num_ctx", "stop", "top_p", "repeat_penalty")

MODELFILE_EXAMPLE = """\
```
ollama_create_model(model="reviewer", from="llama3.2:3b", system="You review Python code. List defects only.",
  parameters={"temperature": 0.2, "num_ctx": 16384})
```

`ollama_show_model(model="reviewer", include=["modelfile"])` shows the outcome. A name that exists is overwritten only
after a confirmation."""
