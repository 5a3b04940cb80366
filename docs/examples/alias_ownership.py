"""Who moves which alias: a convention that is kept by compare-and-set, and told by the history.

Prints:

    dev moved staging to 2
    ops moved production to 2
    dev was too late: alias 'production' of prompt 'telco' points at version 2, not at version 1 as expected
    production by ops: 1 -> 2 (evaluated)
    production by ops: none -> 1 (first release)
    staging by dev: none -> 2 ()
"""

import promptwire

NAME = "telco"
dev, ops = promptwire.Client(actor="dev"), promptwire.Client(actor="ops")

dev.register_prompt(NAME, "Help.")
ops.set_prompt_alias(NAME, "production", 1, reason="first release")

# Developers move `staging` and `candidate` as they like.
dev.register_prompt(NAME, "Help step by step.")
print(f"dev moved staging to {dev.set_prompt_alias(NAME, 'staging', 2).version}")

# The release team moves `production`, from what was evaluated to what was evaluated.
staged, live = ops.load_prompts([f"{NAME}@staging", f"{NAME}@production"])
moved = ops.set_prompt_alias(NAME, "production", staged.version, expected_version=live.version, reason="evaluated")
print(f"ops moved production to {moved.version}")

# Whoever decided on what is not so any more is refused, and has changed nothing.
try:
    dev.set_prompt_alias(NAME, "production", 1, expected_version=1)
except promptwire.ConflictError as error:
    print(f"dev was too late: {error}")

for alias in ("production", "staging"):
    for move in ops.prompt_alias_history(NAME, alias):
        print(f"{alias} by {move.actor}: {move.previous_version or 'none'} -> {move.version} ({move.reason})")
