"""A prompt for each programming language, with one for all others.

Prints:

    python: Write typed Python. Reverse a list.
    go: Write idiomatic Go. Reverse a list.
    cobol: Write cobol. Reverse a list.
"""

import promptwire

client = promptwire.Client()
for name, text in {
    "code/python": "Write typed Python. {{task}}",
    "code/go": "Write idiomatic Go. {{task}}",
    "code/any": "Write {{language}}. {{task}}",
}.items():
    made = client.register_prompt(name, text)
    client.set_prompt_alias(name, "production", made.version)


def prompt_for(language: str) -> promptwire.PromptVersion:
    try:
        return client.load_prompt(f"prompts:/code/{language}@production")
    except promptwire.NotFoundError:
        # That there is none is known in this process, too: no call the next time, until somebody registers one.
        return client.load_prompt("prompts:/code/any@production")


for language in ("python", "go", "cobol"):
    # What a prompt does not use is ignored.
    print(f"{language}: {prompt_for(language).format(language=language, task='Reverse a list.')}")
