"""A new version goes live while agents run: staged, evaluated, promoted, and known to be everywhere.

Prints:

    the agent uses version 1
    staging is version 2, production still 1
    every agent has version 2: True
    the agent uses version 2, and was not restarted
"""

import promptwire

NAME = "telco_support"
ops, agent = promptwire.Client(), promptwire.Client(actor="agent")

first = ops.register_prompt(NAME, "Help {{customer}}.", "First")
ops.set_prompt_alias(NAME, "production", first.version)
prompt = agent.handle(f"{NAME}@production")
agent.wait_for_ready([f"{NAME}@production"])
print(f"the agent uses version {prompt.current.version}")

better = ops.register_prompt(NAME, "Help {{customer}}, and ask which device it is.", "Asks for the device")
ops.set_prompt_alias(NAME, "staging", better.version)
staged, live = ops.load_prompts([f"{NAME}@staging", f"{NAME}@production"])
print(f"staging is version {staged.version}, production still {live.version}")
assert "device" in staged.format(customer="Ana")  # here your evaluation runs

# Only if it still is where the evaluation saw it; returns once every connected agent has it, or says who has not.
change = ops.set_prompt_alias(
    NAME, "production", better.version, expected_version=live.version, reason="evaluated, 0.93", wait_for_agents=30
)
assert change.agents is not None
print(f"every agent has version {change.version}:", change.agents.complete)
print(f"the agent uses version {prompt.current.version}, and was not restarted")
