"""Short prompts for simple questions: what a prompt costs is a tag, which may be measured and set at any time.

Prints:

    simple: support_concise, 80 tokens
    ordinary: support_standard, 250 tokens
    complex: support_detailed, 900 tokens
    with at most 100 tokens: support_concise
    complex, after it was shortened: support_detailed, 700 tokens
"""

import promptwire

client = promptwire.Client()
for kind, tokens in {"concise": 80, "standard": 250, "detailed": 900}.items():
    made = client.register_prompt(
        f"support_{kind}", f"You are {kind}. {{{{question}}}}", tags={"token_count": str(tokens)}
    )
    client.set_prompt_alias(made.name, "production", made.version)

BY_COMPLEXITY = {"simple": "concise", "ordinary": "standard", "complex": "detailed"}


def tokens_of(prompt: promptwire.PromptVersion) -> int:
    return int(prompt.tags["token_count"])


def tell(complexity: str) -> str:
    prompt = client.load_prompt(f"support_{BY_COMPLEXITY[complexity]}@production")
    return f"{prompt.name}, {tokens_of(prompt)} tokens"


for complexity in BY_COMPLEXITY:
    print(f"{complexity}: {tell(complexity)}")

# Or by a budget: the best that fits into it.
live = client.load_prompts([f"support_{kind}@production" for kind in BY_COMPLEXITY.values()])
print("with at most 100 tokens:", max((one for one in live if tokens_of(one) <= 100), key=tokens_of).name)

shorter = client.register_prompt("support_detailed", "Detailed. {{question}}", tags={"token_count": "700"})
client.set_prompt_alias("support_detailed", "production", shorter.version)
print(f"complex, after it was shortened: {tell('complex')}")
