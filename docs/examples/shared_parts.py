"""One tone of voice for several prompts: included where they are registered, and pinned there.

Prints:

    Be friendly and brief. Explain the bill of Ana.
    Be friendly and brief. Explain the bill of Ana.
    included by: billing/1, technical/1
    Be calm. Explain the bill of Ana.
"""

import promptwire
from promptwire import Register

client = promptwire.Client()
client.register_prompt("tone", "Be friendly and brief.")
client.set_prompt_alias("tone", "production", 1)
TEXTS = {
    "billing": "{{> prompts:/tone@production }} Explain the bill of {{name}}.",
    "technical": "{{> prompts:/tone@production }} Find the fault of {{name}}.",
}
client.release("First texts", [Register(name=name, template=text) for name, text in TEXTS.items()])
print(client.load_prompt("billing@latest").format(name="Ana"))

# A new tone changes nothing by itself: what is registered stays what it is.
client.register_prompt("tone", "Be calm.")
client.set_prompt_alias("tone", "production", 2)
print(client.load_prompt("billing/1").format(name="Ana"))

# Who has to be registered again to take it in?
dependents = sorted({f"{one.by_name}/{one.by_version}" for one in client.prompt_dependents("tone", 1)})
print(f"included by: {', '.join(dependents)}")
client.release("The new tone", [Register(name=name, template=text) for name, text in TEXTS.items()])
print(client.load_prompt("billing@latest").format(name="Ana"))
