"""Which prompt is used for what stands in a file, prompts.yaml, and is live from there on.

Prints:

    billing, technical, retention.offer, retention.goodbye
    billing: You explain bills.
    retention.goodbye is version 1, for ever
    billing, after its alias moved: You explain bills and discounts.
    'prompts.yaml has no prompt 'sales'; it has billing, technical, retention.offer, retention.goodbye'
"""

from pathlib import Path

import promptwire

client = promptwire.Client()
for name, text in {
    "support_billing": "You explain bills.",
    "support_technical": "You find faults.",
    "support_retention": "You make an offer.",
    "support_goodbye": "You say goodbye.",
}.items():
    made = client.register_prompt(name, text)
    client.set_prompt_alias(name, "production", made.version)

config = client.load_config(Path(__file__).with_name("prompts.yaml"))  # all of them in one round trip
print(", ".join(config))

handle = config["billing"]  # `current` is an attribute that pushes keep up to date
print("billing:", handle.current.format())
print(f"retention.goodbye is version {config['retention.goodbye'].current.version}, for ever")

better = client.register_prompt("support_billing", "You explain bills and discounts.")
client.set_prompt_alias("support_billing", "production", better.version)
print("billing, after its alias moved:", config.load("billing").format())  # includes this client's own writes

try:
    config["sales"]
except KeyError as error:
    print(str(error).replace(f"{Path(__file__).parent}/", "").replace('"', "'"))
