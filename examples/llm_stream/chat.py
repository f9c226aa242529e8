"""Questions from standard input, one a line, put to a language model; answers are streamed. `chat.py URL [MODEL]`.

A line that begins with `?` is answered in one piece; one that begins with `=` is embedded.
"""

from __future__ import annotations

import sys

import openai


def ask(client: openai.OpenAI, model: str, line: str) -> str:
    if line.startswith("="):
        answer = client.embeddings.create(model=model, input=[line[1:]])
        return f"{len(answer.data[0].embedding)} numbers"
    messages = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": line.lstrip("?")}]
    if line.startswith("?"):
        whole = client.chat.completions.create(model=model, messages=messages)
        return whole.choices[0].message.content
    stream = client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def main(url: str, model: str = "echo-1") -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    for line in map(str.strip, sys.stdin):
        try:
            print(ask(client, model, line))
        except openai.APIStatusError as error:
            print(f"refused: {error.status_code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
