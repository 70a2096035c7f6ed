"""The models that the simulator lists, as one readable table.

Prices are USD per million tokens: genai-prices 0.2.3, provider `openrouter`, newest price of
2026-11-09. `tier` is `>N:prompt/completion[/cache read]` above N prompt tokens. Context lengths
and output limits that this source leaves out are the makers' published ones, times are typical.

Flags: r reasons by default, o reasons when asked, i sees images, t calls tools, s keeps to a
JSON schema, f has a free variant. `ttft` is the time to the first token in ms, `tps` the tokens a
second, `maker` the providers that serve it, the usual one first (see `catalogue.PROVIDERS`).
"""

from __future__ import annotations

# model_id | in | out | read | write | tier | context | max_out | flags | ttft | tps | providers
ROWS = """
openai/gpt-4o                      | 2.5  | 10   | 1.25  | -     | -                   | 128000  | 16384  | its  | 420 | 95  | openai azure
openai/gpt-4o-mini                 | 0.15 | 0.60 | 0.075 | -     | -                   | 128000  | 16384  | its  | 350 | 110 | openai azure
openai/gpt-3.5-turbo               | 0.5  | 1.5  | -     | -     | -                   | 16385   | 4096   | t    | 280 | 120 | openai azure
openai/gpt-4.1                     | 2    | 8    | 0.5   | -     | -                   | 1047576 | 32768  | its  | 450 | 90  | openai azure
openai/gpt-4.1-mini                | 0.4  | 1.6  | 0.1   | -     | -                   | 1047576 | 32768  | its  | 380 | 110 | openai azure
openai/gpt-4.1-nano                | 0.1  | 0.4  | 0.03  | -     | -                   | 1047576 | 32768  | its  | 300 | 150 | openai azure
openai/gpt-5                       | 1.25 | 10   | 0.125 | -     | -                   | 400000  | 128000 | rits | 900 | 100 | openai azure
openai/gpt-5-mini                  | 0.25 | 2    | 0.025 | -     | -                   | 400000  | 128000 | rits | 600 | 130 | openai azure
openai/gpt-5-nano                  | 0.05 | 0.4  | 0.005 | -     | -                   | 400000  | 128000 | rits | 500 | 160 | openai azure
openai/gpt-5.1                     | 1.25 | 10   | 0.125 | -     | -                   | 400000  | 128000 | rits | 900 | 100 | openai azure
openai/gpt-5.2                     | 1.75 | 14   | 0.175 | -     | -                   | 400000  | 128000 | rits | 900 | 100 | openai azure
openai/gpt-5.4                     | 2.5  | 15   | 0.25  | -     | >272000:5/22.5/0.5  | 1050000 | 128000 | rits | 900 | 90  | openai azure
openai/gpt-5.4-mini                | 0.75 | 4.5  | 0.075 | -     | -                   | 400000  | 128000 | rits | 600 | 130 | openai azure
openai/gpt-5.4-nano                | 0.2  | 1.25 | 0.02  | -     | -                   | 400000  | 128000 | rits | 450 | 160 | openai azure
openai/gpt-5.5                     | 5    | 30   | 0.5   | -     | >272000:10/45/1     | 1050000 | 128000 | rits | 950 | 85  | openai azure
openai/gpt-5.6-luna                | 0.2  | 1.2  | 0.02  | 0.25  | >272000:0.4/1.8     | 1050000 | 128000 | rits | 450 | 170 | openai azure
openai/gpt-5.6-terra               | 2    | 12   | 0.2   | 2.5   | >272000:4/18        | 1050000 | 128000 | rits | 700 | 110 | openai azure
openai/gpt-5.6-sol                 | 4    | 20   | 0.4   | 5     | >272000:8/30        | 1050000 | 128000 | rits | 950 | 85  | openai azure
openai/gpt-6-luna                  | 0.1  | 0.5  | 0.01  | 0.125 | >272000:0.2/0.75    | 1050000 | 128000 | rits | 400 | 180 | openai azure
openai/gpt-6.1-terra               | 1    | 5    | 0.05  | 1.25  | >272000:2/7.5       | 1050000 | 128000 | rits | 650 | 120 | openai azure
openai/gpt-6.1-sol                 | 2    | 10   | 0.1   | 2.5   | >272000:4/15        | 1050000 | 128000 | rits | 900 | 95  | openai azure
openai/gpt-6-astra                 | 10   | 50   | 1     | 12.5  | >272000:20/75       | 1050000 | 128000 | rits | 990 | 70  | openai azure
openai/gpt-oss-20b                 | 0.03 | 0.14 | 0.009 | -     | -                   | 131072  | 32768  | rtf  | 350 | 190 | deepinfra groq
openai/gpt-oss-120b                | 0.1  | 0.5  | -     | -     | -                   | 131072  | 32768  | rtsf | 400 | 160 | deepinfra groq
anthropic/claude-3-haiku           | 0.25 | 1.25 | -     | -     | -                   | 200000  | 4096   | it   | 380 | 120 | anthropic amazon-bedrock
anthropic/claude-haiku-4.5         | 1    | 5    | 0.1   | 1.25  | -                   | 200000  | 64000  | oits | 450 | 130 | anthropic amazon-bedrock
anthropic/claude-haiku-5.5         | 0.1  | 0.5  | 0.01  | 0.125 | >100000:0.5/2.5     | 1000000 | 64000  | oits | 400 | 160 | anthropic amazon-bedrock
anthropic/claude-sonnet-4.5        | 3    | 15   | 0.3   | 3.75  | >200000:6/22.5      | 1000000 | 64000  | oits | 700 | 75  | anthropic amazon-bedrock
anthropic/claude-sonnet-4.6        | 3    | 15   | 0.3   | 3.75  | -                   | 1000000 | 64000  | oits | 700 | 75  | anthropic amazon-bedrock
anthropic/claude-sonnet-5          | 2    | 10   | 0.2   | 2.5   | -                   | 1000000 | 128000 | oits | 650 | 85  | anthropic amazon-bedrock
anthropic/claude-sonnet-5.5        | 2    | 10   | 0.1   | 2.5   | -                   | 1000000 | 128000 | oits | 650 | 90  | anthropic amazon-bedrock
anthropic/claude-opus-4            | 15   | 75   | 1.5   | 18.75 | -                   | 200000  | 32000  | oits | 950 | 50  | anthropic amazon-bedrock
anthropic/claude-opus-4.8          | 5    | 25   | 0.5   | 6.25  | -                   | 1000000 | 64000  | oits | 900 | 60  | anthropic amazon-bedrock
anthropic/claude-opus-5            | 5    | 25   | 0.5   | 6.25  | -                   | 1000000 | 128000 | oits | 900 | 65  | anthropic amazon-bedrock
anthropic/claude-opus-5.5          | 4    | 20   | 0.2   | 5     | -                   | 1000000 | 128000 | oits | 900 | 70  | anthropic amazon-bedrock
google/gemini-2.5-flash-lite       | 0.1  | 0.4  | 0.01  | 0.083 | -                   | 1048576 | 65536  | oits | 350 | 180 | google-ai-studio google-vertex
google/gemini-2.5-flash            | 0.3  | 2.5  | 0.03  | 0.083 | -                   | 1048576 | 65536  | oits | 400 | 160 | google-ai-studio google-vertex
google/gemini-2.5-pro              | 1.25 | 10   | 0.125 | 0.375 | >200000:2.5/15      | 1048576 | 65536  | rits | 990 | 90  | google-ai-studio google-vertex
google/gemini-3.1-flash-lite       | 0.25 | 1.5  | 0.025 | -     | -                   | 1048576 | 65536  | oits | 350 | 190 | google-ai-studio google-vertex
google/gemini-3.1-pro-preview      | 2    | 12   | 0.2   | -     | >200000:4/18        | 1048576 | 65536  | rits | 990 | 90  | google-ai-studio google-vertex
google/gemini-3.5-flash            | 1.5  | 9    | 0.15  | -     | -                   | 1048576 | 65536  | oits | 450 | 150 | google-ai-studio google-vertex
google/gemini-3.8-flash            | 0.75 | 3.75 | 0.075 | -     | -                   | 1048576 | 65536  | oits | 420 | 170 | google-ai-studio google-vertex
google/gemini-4-argon              | 2    | 10   | 0.1   | 0.1875 | -                  | 1048576 | 65536  | rits | 900 | 110 | google-ai-studio google-vertex
deepseek/deepseek-v3.2             | 0.26 | 0.38 | 0.13  | -     | -                   | 163840  | 65536  | otsf | 700 | 60  | deepseek deepinfra
deepseek/deepseek-v4-flash-0731    | 0.14 | 0.28 | 0.05  | -     | -                   | 1048576 | 65536  | otsf | 500 | 110 | deepseek deepinfra
deepseek/deepseek-v4-pro-0813      | 0.66 | 1.98 | 0.022 | -     | -                   | 1048576 | 65536  | ots  | 800 | 60  | deepseek deepinfra
deepseek/deepseek-v4.1-flash       | 0.21 | 0.84 | 0.0042 | -    | -                   | 1048576 | 65536  | ots  | 500 | 110 | deepseek deepinfra
deepseek/deepseek-r1               | 0.7  | 2.5  | -     | -     | -                   | 64000   | 16000  | rf   | 900 | 45  | deepinfra deepseek
qwen/qwen3-32b                     | 0.14 | 0.4  | -     | -     | -                   | 40960   | 16384  | otf  | 450 | 90  | deepinfra alibaba
qwen/qwen3-235b-a22b-2507          | 0.09 | 0.55 | -     | -     | -                   | 262144  | 32768  | tsf  | 600 | 70  | deepinfra alibaba
qwen/qwen3-coder-next              | 0.12 | 0.8  | -     | -     | -                   | 262144  | 65536  | tsf  | 450 | 120 | deepinfra alibaba
qwen/qwen3.8-flash                 | 0.15 | 0.47 | 0.016 | -     | -                   | 1000000 | 65536  | oits | 400 | 150 | alibaba
qwen/qwen3.8-27b                   | 0.425 | 2.55 | 0.085 | -    | -                   | 1000000 | 65536  | ots  | 500 | 100 | alibaba
qwen/qwen3.8-max-0902              | 2    | 6    | 0.25  | -     | -                   | 1000000 | 65536  | oits | 800 | 70  | alibaba
meta-llama/llama-3.1-8b-instruct   | 0.05 | 0.08 | -     | -     | -                   | 131072  | 16384  | tf   | 250 | 180 | deepinfra groq
meta-llama/llama-3.3-70b-instruct  | 0.59 | 0.79 | -     | -     | -                   | 131072  | 16384  | tf   | 400 | 110 | deepinfra groq
meta-llama/llama-4-maverick        | 0.35 | 1    | -     | -     | -                   | 1048576 | 16384  | itf  | 450 | 120 | deepinfra groq
mistralai/mistral-small-2603       | 0.15 | 0.6  | -     | -     | -                   | 262144  | 32768  | itsf | 350 | 130 | mistral
mistralai/ministral-8b-2512        | 0.15 | 0.15 | -     | -     | -                   | 262144  | 32768  | its  | 280 | 170 | mistral
mistralai/mistral-large-2512       | 0.5  | 1.5  | -     | -     | -                   | 262144  | 65536  | its  | 550 | 80  | mistral
"""  # noqa: E501  # one model a line is what makes the table readable
