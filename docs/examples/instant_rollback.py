"""Something is wrong: the alias goes back at once, and nobody has to know the number.

Prints:

    production: 3 -> 2
    production: 2 -> 1
    production: 1 -> 3
    1 -> 3 (rollback) because the newest was not it
    2 -> 1 (rollback) because still worse
    3 -> 2 (rollback) because answers got worse
    2 -> 3
    1 -> 2
    none -> 1
    both prompts moved: 2 and 2
    both went back: 1 and 3
"""

import promptwire

client = promptwire.Client()
for text in ("Help.", "Help step by step.", "Help in verse."):
    made = client.register_prompt("telco", text)
    client.set_prompt_alias("telco", "production", made.version)


def tell(change: promptwire.AliasChange) -> None:
    print(f"production: {change.previous_version} -> {change.version}")


tell(client.rollback_prompt_alias("telco", "production", reason="answers got worse"))
tell(client.rollback_prompt_alias("telco", "production", reason="still worse"))  # further back, not forth
tell(client.rollback_prompt_alias("telco", "production", to_version=3, reason="the newest was not it"))

for move in client.prompt_alias_history("telco", "production"):
    why = f" (rollback) because {move.reason}" if move.rollback else ""
    print(f"{move.previous_version or 'none'} -> {move.version}{why}")

# Several prompts that belong together move, and go back, together.
for text in ("Explain.", "Explain bills."):
    client.register_prompt("billing", text)
client.set_prompt_alias("billing", "production", 1)
release = client.release("Friday", {"telco@production": 2, "billing@production": 2})
pair = client.load_prompts(["billing@production", "telco@production"])
print(f"both prompts moved: {pair[0].version} and {pair[1].version}")
client.undo_release(release.number)
pair = client.load_prompts(["billing@production", "telco@production"])
print(f"both went back: {pair[0].version} and {pair[1].version}")
